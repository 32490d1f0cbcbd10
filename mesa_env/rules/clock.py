"""The clock that agents see in games that end after the last episode of a schedule."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import entries, namespace, with_column
from mesa_env.rules.rules import Array, Rules, State


class KnownLength(Rules):
    """The aspect of games that end after the schedule's last episode, which their agents see coming."""

    def over(self, state: State) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each game has come to its end, shape (B,); none is cut short."""
        ended = state.episode >= self.episodes
        return ended, ended ^ ended  # False everywhere, in any array library

    def episode_from_observation(self, observation: NDArray[np.floating]) -> NDArray[np.int64]:
        """The episode that an observation shows, by the share of episodes left; (B, W) to (B,)."""
        left = observation[..., self.goal_width + 1].astype(np.float64)
        episode = np.rint((1 - left) * self.episodes).astype(np.int64)
        return np.minimum(episode, self.episodes - 1)

    def observe_clock(self, state: State, *columns: Array) -> NDArray[np.float32]:
        """(θ_n, η_n, share of episodes left, share of training left), then columns that are given."""
        clock = with_column(entries(self._clock, state.episode), self._goal_columns, state.goal)
        if not columns:
            return clock
        xp = namespace(clock)
        shown = [xp.astype(xp.asarray(column), xp.float32)[..., None] for column in columns]
        wider: NDArray[np.float32] = xp.concat([clock, *shown], axis=-1)
        return wider

    @cached_property
    def _goal_columns(self) -> int | slice:
        """Where an observation shows the goal."""
        return slice(0, self.goal_width) if self.goal_shape else 0

    @cached_property
    def _clock(self) -> NDArray[np.float32]:
        """Observations of every episode n = 0…N but for the goal, which is left 0; shape (N + 1, W)."""
        rates = np.append(self.learning_rates, 0)
        left = np.arange(self.episodes, -1, -1) / self.episodes
        training_left = np.append(self.training[::-1].cumsum()[::-1], 0) / max(1, self.training.sum())
        goal = [np.zeros_like(left)] * self.goal_width
        return np.stack([*goal, rates, left, training_left], axis=1).astype(np.float32)

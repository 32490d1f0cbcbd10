"""The base game without a last episode: deployment, or training, goes on for ever.

The schedule's last learning rate never ends. Agent n's mesa cost is the infinite sum

    J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²,   γ < 1,

which can be played in two ways that are the same in expectation. Either every episode is followed by another
with probability γ, and costs are not discounted; or the game goes on and costs are discounted. In both, it is
cut short after `max_episodes`, which its agents do not know: they see no clock but that of the schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules.game import Array, Game, State, train_then_deploy
from mesa_env.rules.validation import validated_flag, validated_schedule, validated_whole


class Length(NamedTuple):
    """What chance has decided on the length of each game.

    Attributes:
        episodes: Number after which chance ends the game, shape (B,); more than `max_episodes` where it is
            cut short before.
    """

    episodes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class InfiniteHorizon(Game):
    """Parameters of the game without end; by default deployment for ever follows 20 episodes of training.

    With `ends=False` it plays the base game of `max_episodes` episodes, but that its agents do not see the
    end coming and that it is then cut short.

    Args:
        learning_rates: Schedule whose last learning rate goes on for ever: [1.0] is training without end. The
            schedule of all `max_episodes` is kept.
        discount: γ in [0, 1): how much later outputs count, or the probability that the game goes on.
        max_episodes: Episodes after which the game is cut short.
        ends: Whether the game ends by chance, its costs undiscounted; or goes on until it is cut short, its
            costs discounted: the same in expectation, with less noise to learn from.

    The other parameters are `Game`'s.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(20, 1))
    discount: float = 0.99
    max_episodes: int = 1000
    ends: bool = True

    def __post_init__(self) -> None:
        """Validate every parameter, and write the schedule out."""
        super().__post_init__()
        if self.discount == 1:
            raise ValueError("discount must be below 1 where a game goes on for ever, or sums diverge; got 1")
        self._keep(
            max_episodes=validated_whole("max_episodes", self.max_episodes, 1),
            ends=validated_flag("ends", self.ends),
        )
        rates = validated_schedule(self.learning_rates)
        rates = rates[: np.flatnonzero(rates != rates[-1]).max(initial=-1) + 2]  # its end is for ever
        if len(rates) > self.max_episodes:
            raise ValueError(
                f"max_episodes must allow the schedule's {len(rates)} episodes; got {self.max_episodes}"
            )
        rates = np.append(rates, np.full(self.max_episodes - len(rates), rates[-1]))
        rates.setflags(write=False)
        self._keep(learning_rates=rates)

    @cached_property
    def stationary_from(self) -> int:
        """First episode from which on the learning rate never changes: all agents from it on are alike."""
        changes = np.flatnonzero(np.diff(self.learning_rates))
        return int(changes[-1]) + 1 if changes.size else 0

    @property
    def stochastic(self) -> bool:
        """Whether chance ends the game."""
        return self.ends

    @property
    def settles(self) -> NDArray[np.bool_]:
        """Where the episodes that are cut off hold at most a tenth of an agent's weights."""
        return np.asarray(self.discount ** np.arange(self.episodes, 0, -1) <= 0.1)

    @property
    def n_uniforms(self) -> int:
        """The base game's draws, then one for the length."""
        return super().n_uniforms + self.ends

    def start(self, chance: Array, initial_goal: Array | None = None) -> State:
        """Set up a batch of games; the last draw of chance decides their length."""
        return super().start(chance, initial_goal)._replace(extra=Length(self._length(chance)))

    def seat(self, chance: Array, initial_goal: Array | None = None) -> State:
        """Seat agents, drawn uniformly from those that differ: all from `stationary_from` on are alike."""
        agent = (chance[..., 0] * (self.stationary_from + 1)).astype(np.int64)
        state = self.start(chance[..., 1:], initial_goal)
        length = np.minimum(agent + state.extra.episodes, self.max_episodes + 1)
        return State(agent, state.goal, Length(length))

    def observe(self, state: State) -> NDArray[np.float32]:
        """(θ_n, η_n, 1 until the end, share left of episodes before `stationary_from`), shape (B, 4)."""
        observation = super().observe(state)
        observation[..., 2] = state.episode < np.minimum(state.extra.episodes, self.max_episodes)
        return observation

    def episode_from_observation(self, observation: NDArray[np.floating]) -> NDArray[np.int64]:
        """The episode that an observation shows, up to `stationary_from`, which stands for all after it."""
        left = observation[..., 3].astype(np.float64)
        return np.rint((1 - left) * self.stationary_from).astype(np.int64)

    def over(self, state: State) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether chance has ended each game, and whether it was cut short."""
        ended = state.episode >= state.extra.episodes
        return ended, ~ended & (state.episode >= self.max_episodes)

    def mesa_cost(self, output: Array, judge: Array, elapsed: NDArray[np.int64] | int) -> Array:
        """The base game's term, not discounted where chance ends the game."""
        return super().mesa_cost(output, judge, 0 if self.ends else elapsed)

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] | None = None
    ) -> Array:
        """The base game's costs, not discounted where chance ends the game; outputs end where it did."""
        undiscounted = Game(self.learning_rates, discount=1.0)
        return Game.mesa_costs(undiscounted if self.ends else self, goals, outputs)

    def _length(self, chance: Array) -> NDArray[np.int64]:
        """Geometric lengths: the game goes on after each episode with probability γ."""
        if not self.ends:
            return np.full(chance.shape[:-1], self.max_episodes + 1)[()]
        with np.errstate(divide="ignore"):
            more = np.floor(np.log1p(-chance[..., -1]) / np.log(self.discount))
        length: NDArray[np.int64] = np.minimum(1 + more, self.max_episodes + 1).astype(np.int64)
        return length

    @cached_property
    def _clock(self) -> NDArray[np.float32]:
        """Observations of every episode, but for the goal, which is left 0; shape (N + 1, 4)."""
        clock = np.zeros((self.episodes + 1, 4))
        clock[:-1, 1] = self.learning_rates
        clock[: self.stationary_from, 3] = 1 - np.arange(self.stationary_from) / max(1, self.stationary_from)
        return clock.astype(np.float32)


def with_fixed_length(game: Game) -> Game:
    """The same game without chance in its length, which costs the same in expectation."""
    return replace(game, ends=False) if isinstance(game, InfiniteHorizon) else game

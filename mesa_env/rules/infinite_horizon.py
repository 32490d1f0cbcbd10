"""The base game without a last episode: deployment, or training, continues forever.

The schedule's last learning rate never ends. Agent n's mesa cost is the infinite sum

    J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²,   γ < 1,

which can be played in two ways that are the same in expectation. Either every episode is followed by another
with probability γ, and costs are not discounted; or the game continues and costs are discounted. In both, it
is cut short after `max_episodes`, which its agents do not know: they see no clock but that of the schedule.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import entries, namespace, with_column
from mesa_env.rules.game import play_linear
from mesa_env.rules.rules import Array, Outcome, Rules, State
from mesa_env.rules.scalar import Coefficients, JudgedByGoal, train_then_deploy
from mesa_env.validation import MOST_EPISODES, show, validate_flag, validate_whole

RulesT = TypeVar("RulesT", bound=Rules)


class Length(NamedTuple):
    """Episodes after which chance ends each game, shape (B,); above `max_episodes` where it is cut short."""

    episodes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class InfiniteHorizon(Coefficients, JudgedByGoal):
    """Parameters of the game without end, besides those of `ScalarGame`.

    By default deployment forever follows 20 episodes of training. With `ends=False` it plays the base game of
    `max_episodes` episodes, except that its agents do not see the end coming and that it is then cut short.

    Args:
        learning_rates: Schedule whose last learning rate continues forever: [1.0] is training without end.
            The schedule of all `max_episodes` is kept.
        discount: γ in [0, 1): how much later outputs count, or the probability that the game continues.
        max_episodes: Episodes after which the game is cut short.
        ends: Whether the game ends by chance, its costs undiscounted; or continues until it is cut short,
            its costs discounted: the same in expectation, with less noise to learn from.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(20, 1))
    discount: float = 0.99
    max_episodes: int = 1000
    ends: bool = True

    shown_bounds = ()

    def __post_init__(self) -> None:
        """Validate every parameter, and write the schedule out to `max_episodes`."""
        given = self.discount
        self._store_shared()
        if self.discount == 1:
            raise ValueError(
                "discount must be below 1 in double precision where a game continues forever, or sums "
                f"diverge; got {show(given)}"
            )
        length = validate_whole("max_episodes", self.max_episodes, 1, MOST_EPISODES)
        rates = self.learning_rates
        rates = rates[: np.flatnonzero(rates != rates[-1]).max(initial=-1) + 2]  # the last one is forever
        if len(rates) > length:
            raise ValueError(f"max_episodes must allow the schedule's {len(rates)} episodes; got {length}")
        rates = np.append(rates, np.full(length - len(rates), rates[-1]))
        self._store(learning_rates=rates, max_episodes=length, ends=validate_flag("ends", self.ends))
        self._check_update()

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game, as in the base game."""
        return play_linear(self, state, action)

    def over(self, state: State) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether chance has ended each game, and whether it was cut short; each of shape (B,)."""
        ended = state.episode >= state.extra.episodes
        return ended, ~ended & (state.episode >= self.max_episodes)

    @property
    def stochastic(self) -> bool:
        """Whether chance ends the game."""
        return self.ends

    @property
    def n_extra_uniforms(self) -> int:
        """One draw for the length, if chance decides it."""
        return int(self.ends)

    def start_extra(self, uniforms: Array) -> Length:
        """Geometric lengths: after each episode the game continues with probability γ."""
        xp = namespace(uniforms)
        longest = self.max_episodes + 1
        if not self.ends:
            return Length(xp.full(uniforms.shape[:-1], longest, dtype=xp.int64)[()])
        with np.errstate(divide="ignore"):
            more = xp.floor(xp.log1p(-uniforms[..., 0]) / np.log(self.discount))
        return Length(xp.astype((1 + more).clip(None, longest), xp.int64))

    @cached_property
    def stationary_from(self) -> int:
        """First episode from which the learning rate never changes: all agents from it on are alike."""
        changes = np.flatnonzero(np.diff(self.learning_rates))
        return int(changes[-1]) + 1 if changes.size else 0

    def observe(self, state: State) -> NDArray[np.float32]:
        """(θ_n, η_n, 1 until the end, share left of episodes before `stationary_from`), shape (B, 4)."""
        observation = with_column(entries(self._clock, state.episode), 0, state.goal)
        continues = state.episode < state.extra.episodes.clip(None, self.max_episodes)
        return with_column(observation, 2, continues)

    def episode_from_observation(self, observation: NDArray[np.floating]) -> NDArray[np.int64]:
        """The episode that an observation shows, up to `stationary_from`, which stands for all after it."""
        left = observation[..., 3].astype(np.float64)
        return np.rint((1 - left) * self.stationary_from).astype(np.int64)

    @cached_property
    def _clock(self) -> NDArray[np.float32]:
        """Observations of every episode, but for goal and end, which are left 0; shape (N + 1, 4)."""
        clock = np.zeros((self.episodes + 1, 4))
        clock[:-1, 1] = self.learning_rates
        clock[: self.stationary_from, 3] = 1 - np.arange(self.stationary_from) / max(1, self.stationary_from)
        return clock.astype(np.float32)


def with_fixed_length(game: RulesT) -> RulesT:
    """The same game without chance in its length, which costs the same in expectation."""
    return replace(game, ends=False) if isinstance(game, InfiniteHorizon) else game

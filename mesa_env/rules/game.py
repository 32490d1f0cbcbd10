"""The base game: successive mesa-optimizers with one goal, trained by gradient descent on their outputs.

In episode n the model has a goal θ and its mesa-optimizer chooses a coefficient c. Then

    output       y  = c θ
    base loss    L  = y² + λ θ²
    base update  θ' = θ − η ∂L/∂θ = θ (1 − 2 η (c² + λ)),   projected onto [−goal bound, goal bound]
    mesa cost    J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²

where η is the episode's learning rate (0 once the model is deployed), λ the regularization and γ the
discount. Agent n minimizes J_n: all outputs from now on, judged by *its own* goal. Its successors judge
them by theirs, which its action has changed.

Every function here is elementwise over leading batch axes, of which there may be none: one game and a batch
of 4096 run the same code and play, bit for bit, the same games. Shapes are given for a batch of B.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.rules.validation import LARGEST, validated_number, validated_range, validated_schedule

Array = NDArray[np.float64]


class State(NamedTuple):
    """Where each game of a batch stands, before its present episode is played.

    Attributes:
        episode: Index n of the present episode, shape (B,); N once the game is over.
        goal: Goal θ_n of the present agent, shape (B,).
        more: What else a variant's games keep: a NamedTuple of arrays of shape (B, …), or nothing.
    """

    episode: NDArray[np.int64]
    goal: Array
    extra: Any = ()


class Outcome(NamedTuple):
    """What one episode produced in each game of a batch; every array has shape (B,).

    Attributes:
        output: y_n, what the model emitted.
        base_loss: y_n² + λ θ_n², what the base optimizer descends.
        goal: θ_n, before the base update.
        next_goal: θ_{n+1}, after it.
        training: Whether the base optimizer was at work (η_n > 0).
        details: What else there is to tell in a variant, by name; none by the name of a field.
    """

    output: Array
    base_loss: Array
    goal: Array
    next_goal: Array
    training: NDArray[np.bool_]
    details: Mapping[str, NDArray[Any]] = MappingProxyType({})

    def info(self) -> dict[str, NDArray[Any]]:
        """Everything by name, details included."""
        return {
            "output": self.output,
            "base_loss": self.base_loss,
            "goal": self.goal,
            "next_goal": self.next_goal,
            "training": self.training,
            **self.details,
        }


def train_then_deploy(train: int = 20, deploy: int = 80, learning_rate: float = 1.0) -> Array:
    """Schedule of `train` episodes at `learning_rate`, then `deploy` episodes at 0.

    Returns:
        Learning rates, shape (train + deploy,).

    Raises:
        ValueError: If a length is negative or not whole, or both are 0.
    """
    for name, episodes in (("train", train), ("deploy", deploy)):
        if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 0:
            raise ValueError(f"{name} must be a whole number of episodes ≥ 0; got {episodes!r}")
    if train + deploy == 0:
        raise ValueError("a schedule needs at least one episode; got train=0 and deploy=0")
    rate = validated_number("learning_rate", learning_rate, low=0.0)
    return np.concatenate([np.full(train, rate), np.zeros(deploy)])


@dataclass(frozen=True, eq=False)
class Game:
    """Parameters of the base game; immutable, validated, and with its rules as pure methods.

    The defaults are the post's first experiment: 20 episodes of training at learning rate 1, 80 of
    deployment, a first goal of 0.8.

    Args:
        learning_rates: η_n ≥ 0 for n = 0…N−1, shape (N,), any sequence of numbers; positive in
            training, 0 in deployment.
        discount: γ in [0, 1], by which each agent discounts later outputs.
        regularization: λ ≥ 0, weight of θ² in the base loss.
        coefficient_bound: Coefficients lie in [−bound, bound].
        goal_bound: The base optimizer projects goals onto [−bound, bound]. Where it binds, the closed
            forms of the oracle do not hold; it binds on no equilibrium path of the default game.
        initial_goal: θ_0, or a (low, high) pair from which each game draws it uniformly.

    Raises:
        ValueError: If a parameter is out of its range, in one sentence that says which and why.
    """

    learning_rates: Array = field(default_factory=train_then_deploy)
    discount: float = 1.0
    regularization: float = 0.0
    coefficient_bound: float = 2.0
    goal_bound: float = 10.0
    initial_goal: float | tuple[float, float] = 0.8

    coefficients_suffice: ClassVar[bool] = True
    """Whether the best policies are one action an episode, the same for every goal, as homogeneity gives."""
    traces: ClassVar[dict[str, str]] = {}
    """What else to draw of a game beside goal and output: names in its outcomes, and their labels."""

    def __post_init__(self) -> None:
        """Validate every parameter and store it in its canonical form."""
        rates = validated_schedule(self.learning_rates)
        rates.setflags(write=False)
        self._keep(
            learning_rates=rates,
            discount=validated_number("discount", self.discount, 0.0, 1.0),
            regularization=validated_number("regularization", self.regularization, 0.0),
            coefficient_bound=validated_number(
                "coefficient_bound", self.coefficient_bound, high=LARGEST, above=0.0
            ),
            goal_bound=validated_number("goal_bound", self.goal_bound, high=LARGEST, above=0.0),
        )
        bound = self.goal_bound
        self._keep(initial_goal=validated_range("initial_goal", self.initial_goal, -bound, bound))
        with np.errstate(over="ignore"):
            steepest = 2 * rates.max() * (self.coefficient_bound**2 + self.regularization) * self.goal_bound
        if not np.isfinite(steepest):
            raise ValueError(
                f"one base update must stay finite; got a learning rate of {rates.max():g} with "
                f"regularization {self.regularization:g}, coefficient_bound {self.coefficient_bound:g} "
                f"and goal_bound {self.goal_bound:g}"
            )

    def _keep(self, **values: object) -> None:
        """Store parameters in their canonical form, which only `__post_init__` may do."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # -- What the parameters imply --------------------------------------------------------------------

    @property
    def episodes(self) -> int:
        """Number of episodes N, which is also the number of agents."""
        return len(self.learning_rates)

    @cached_property
    def training(self) -> NDArray[np.bool_]:
        """Whether each episode is a training episode, shape (N,)."""
        training = np.asarray(self.learning_rates > 0)
        training.setflags(write=False)
        return training

    @property
    def stochastic(self) -> bool:
        """Whether chance has a part in the game after its start: here it has none."""
        return False

    @property
    def settles(self) -> NDArray[np.bool_]:
        """Whether each agent's mesa cost is all but complete when its game is over, shape (N,): all here."""
        return np.ones(self.episodes, dtype=bool)

    @property
    def n_uniforms(self) -> int:
        """How many uniform draws from [0, 1) decide everything that chance decides in one game."""
        return int(isinstance(self.initial_goal, tuple))

    @property
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation, each of shape (4,)."""
        fastest = max(1.0, float(self.learning_rates.max()))
        return np.array([-self.goal_bound, 0, 0, 0]), np.array([self.goal_bound, fastest, 1, 1])

    @property
    def preference_bounds(self) -> Array:
        """What agents judge by lies in [−bound, bound]; of the shape of one agent's entry in `judge`."""
        return np.array(self.goal_bound)

    @property
    def central_state_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest overview, each of the shape of one game's in `central_state`."""
        return self.observation_bounds

    @property
    def action_bound(self) -> Array:
        """Actions lie in [−bound, bound], componentwise; shape (1,)."""
        return np.array([self.coefficient_bound])

    # -- Playing --------------------------------------------------------------------------------------

    def validated_actions(self, action: object, batch: tuple[int, ...]) -> NDArray[np.floating]:
        """Check a batch of actions at the door of the game.

        Args:
            action: What the user passed.
            batch: The batch's shape, (B,) or () for a single game.

        Returns:
            The actions as an array of shape (*batch, parts), in the precision that they came in.

        Raises:
            ValueError: If they have another shape, are not finite numbers, or lie outside the bounds.
        """
        actions = np.asarray(action)
        limit = self._single_limit if actions.dtype == np.float32 else self._double_limit
        if actions.shape != (*batch, len(limit)):
            raise ValueError(f"actions must have shape {(*batch, len(limit))}; got shape {actions.shape}")
        if actions.dtype.kind not in "fiu" or not (np.abs(actions) <= limit).all():
            bound = ", ".join(f"[{-bound:g}, {bound:g}]" for bound in self.action_bound)
            raise ValueError(f"actions must be finite numbers in {bound}; got {action}")
        return actions

    def start(self, chance: Array, initial_goal: Array | None = None) -> State:
        """Set up a batch of games.

        Args:
            chance: Uniform draws from [0, 1), shape (B, draws).
            initial_goal: Goals that replace what chance would give, shape (B,).
        """
        batch = chance.shape[:-1]
        if initial_goal is not None:
            goal = np.array(initial_goal, dtype=np.float64)
        else:
            goal = drawn(self.initial_goal, chance[..., :1])
        return State(np.zeros(batch, dtype=np.int64)[()], goal[()])

    def seat(self, chance: Array, initial_goal: Array | None = None) -> State:
        """Set up a batch at an agent's turn, the agent drawn uniformly and its goal as a first one's.

        Args:
            chance: Uniform draws from [0, 1), shape (B, 1 + draws); the first names the agent.
            initial_goal: Goals that replace what chance would give, shape (B,).
        """
        agent = (chance[..., 0] * self.episodes).astype(np.int64)
        return self.start(chance[..., 1:], initial_goal)._replace(episode=agent)

    def observe(self, state: State) -> NDArray[np.float32]:
        """What the present agents see: (θ_n, η_n, share of episodes left, share of training left), (B, 4)."""
        observation = self._clock.take(state.episode, axis=0)
        observation[..., 0] = state.goal
        return observation

    def central_state(self, state: State) -> NDArray[np.float32]:
        """All that is to be known of a game's present: what agents see, then what is hidden from them."""
        return self.observe(state)

    def episode_from_observation(self, observation: NDArray[np.floating]) -> NDArray[np.int64]:
        """The episode that an observation tells its agent it is in, from 0 to N − 1; (B, 4) to (B,)."""
        episode = np.rint((1 - observation[..., 2].astype(np.float64)) * self.episodes).astype(np.int64)
        return np.minimum(episode, self.episodes - 1)

    def play(self, state: State, action: NDArray[np.floating]) -> tuple[State, Outcome]:
        """Play the present episode of every game, none of which may be over.

        Args:
            state: The games, batch of B.
            action: Coefficients within the bound, shape (B, 1).

        Returns:
            The games after the base update, and what the episode produced.
        """
        goal = state.goal
        # Arrays of our own are changed in place: a batch of them is soon larger than the processor's cache.
        contraction = coefficient = action[..., 0].astype(np.float64)[()]
        output = coefficient * goal
        contraction *= coefficient
        if self.regularization:
            contraction += self.regularization
        pull = self._pulls[state.episode]
        contraction *= pull
        contraction += 1.0
        contraction *= goal
        next_goal = contraction.clip(-self.goal_bound, self.goal_bound)
        base_loss = output * output
        if self.regularization:
            base_loss += self.regularization * (goal * goal)
        after = State(state.episode + 1, next_goal, state.extra)
        return after, Outcome(output, base_loss, goal, next_goal, pull < 0)

    def over(self, state: State) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each game has come to its end, and whether it was cut short; each of shape (B,).

        This game ends after its last episode and is never cut short.
        """
        ended = state.episode >= self.episodes
        return ended, np.zeros(state.episode.shape, dtype=bool)[()]

    # -- Judging --------------------------------------------------------------------------------------

    def judge(self, state: State) -> Array:
        """What the present agents judge outputs by: here their goals, (B,); elsewhere perhaps (B, …)."""
        return state.goal

    def mesa_cost(self, output: Array, judge: Array, elapsed: NDArray[np.int64] | int) -> Array:
        """Term γ^elapsed (y − θ)² of the mesa cost of an agent that judges by `judge`.

        Args:
            output: y_k, what was emitted in episode k.
            judge: What the agent n ≤ k judges by (`judge`); broadcasts against `output`.
            elapsed: k − n, episodes since the judge acted; broadcasts against `output`.
        """
        cost: Array = output - judge
        cost *= cost
        return cost if self.discount == 1 else cost * self._discounts[elapsed]

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] | None = None
    ) -> Array:
        """Mesa cost J_n of every agent of finished games, each judged by its own goal.

        Args:
            goals: θ_n, shape (N, B).
            outputs: y_n, shape (N, B).
            details: The outcomes' details, each of shape (N, B), for variants that judge by more than goals.

        Returns:
            J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)², shape (N, B).
        """
        costs = np.empty_like(outputs)
        squares, sums, weights = np.zeros((3, *outputs.shape[1:]))
        for n in reversed(range(len(outputs))):
            squares = outputs[n] * outputs[n] + self.discount * squares
            sums = outputs[n] + self.discount * sums
            weights = 1 + self.discount * weights
            costs[n] = np.maximum(squares - 2 * goals[n] * sums + goals[n] * goals[n] * weights, 0)
        return costs

    # -- Tables and identity --------------------------------------------------------------------------

    @cached_property
    def _clock(self) -> NDArray[np.float32]:
        """Observations of every episode n = 0…N but for the goal, which is left 0; shape (N + 1, 4)."""
        rates = np.append(self.learning_rates, 0)
        left = np.arange(self.episodes, -1, -1) / self.episodes
        training_left = np.append(self.training[::-1].cumsum()[::-1], 0) / max(1, self.training.sum())
        return np.stack([np.zeros_like(left), rates, left, training_left], axis=1).astype(np.float32)

    @cached_property
    def _pulls(self) -> Array:
        """−2 η_n, shape (N,)."""
        return -2 * self.learning_rates

    @cached_property
    def _discounts(self) -> Array:
        """γ^k for k = 0…N−1; a running product, so that every batch size sees the same rounding."""
        return np.cumprod(np.append(1.0, np.full(self.episodes - 1, self.discount)))

    @cached_property
    def _single_limit(self) -> NDArray[np.float32]:
        """The action bound in single precision, in which spaces are written and most actions come."""
        return self.action_bound.astype(np.float32)

    @cached_property
    def _double_limit(self) -> Array:
        """The action bound, or what it becomes in single precision, if that is more (0.1 does)."""
        return np.maximum(self.action_bound, self._single_limit)

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles are built anew from the parameters, and so are as immutable."""
        return type(self), tuple(getattr(self, parameter.name) for parameter in fields(self))

    def __eq__(self, other: object) -> bool:
        """Two games are equal when all their parameters are."""
        return isinstance(other, Game) and self._key() == other._key()

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        rates, *others = (getattr(self, parameter.name) for parameter in fields(self))
        return type(self), rates.tobytes(), *others


def drawn(value: float | tuple[float, float], chance: Array) -> Array:
    """What games begin with: `value`, or drawn from the range that it is by uniform draws (B, 1); (B,)."""
    if isinstance(value, tuple):
        low, high = value
        uniform: Array = low + (high - low) * chance[..., 0]
        return uniform
    return np.full(chance.shape[:-1], value)


def validated_coefficients(game: Game, coefficients: object) -> Array:
    """Check a profile of one coefficient an agent.

    Returns:
        The coefficients, shape (N,).

    Raises:
        ValueError: If they have another shape, are not finite numbers, or lie outside the bound.
    """
    try:
        profile = np.array(coefficients, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"coefficients must be {game.episodes} numbers; got {coefficients!r}") from None
    if profile.shape != (game.episodes,):
        raise ValueError(f"coefficients must have shape ({game.episodes},); got shape {profile.shape}")
    wrong = np.flatnonzero(~(np.abs(profile) <= np.float32(game.coefficient_bound) * (1 + 1e-7)))
    if wrong.size:
        raise ValueError(
            f"coefficients must be finite numbers in ±{game.coefficient_bound:g}; "
            f"got {profile[wrong[0]]} for episode {wrong[0]}"
        )
    return profile

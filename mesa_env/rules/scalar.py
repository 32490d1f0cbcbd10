"""What games with one scalar goal have in common: parameters, start, clock, coefficients and judgment.

`ScalarGame` holds the parameters; a game adds the aspects that it shares with others (`KnownLength`,
`Coefficients`, `JudgedByGoal`) and implements the rest. Nothing here is overridden.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env import validation
from mesa_env.arrays import entries, namespace
from mesa_env.numerics import bound_in_any_precision
from mesa_env.rules.clock import KnownLength
from mesa_env.rules.rules import Array, Continuous, Rules, State
from mesa_env.validation import LARGEST, validate_number, validate_range


def train_then_deploy(train: int = 20, deploy: int = 80, learning_rate: float = 1.0) -> Array:
    """Schedule of `train` episodes at `learning_rate`, then `deploy` episodes at 0; shape (train + deploy,).

    Raises:
        ValueError: If a length is negative or not whole, or both are 0.
    """
    train = validation.validate_whole("train", train, 0, validation.MOST_EPISODES)
    deploy = validation.validate_whole("deploy", deploy, 0, validation.MOST_EPISODES - train)
    if train + deploy == 0:
        raise ValueError("a schedule needs at least one episode; got train=0 and deploy=0")
    rate = validate_number("learning_rate", learning_rate, 0.0, LARGEST)
    return np.concatenate([np.full(train, rate), np.zeros(deploy)])


@dataclass(frozen=True, eq=False)
class ScalarGame(Rules):
    """Parameters that games with one scalar goal share, whose agents choose a coefficient.

    Args:
        learning_rates: 0 ≤ η_n ≤ 1e38 for n = 0…N−1, shape (N,) with N up to 10 million, any sequence
            of numbers; positive in training, 0 in deployment.
        discount: γ in [0, 1], by which each agent discounts later outputs.
        regularization: λ ≥ 0, weight of θ² in the base loss.
        coefficient_bound: Coefficients lie in [−bound, bound].
        goal_bound: The base optimizer projects goals onto [−bound, bound]. Where it binds, the closed
            forms of the oracle do not hold; it binds on no equilibrium path of the default game.
        initial_goal: θ_0, or a (low, high) pair from which each game draws it uniformly.
    """

    learning_rates: Array = field(default_factory=train_then_deploy)
    discount: float | tuple[float, float] = 1.0
    regularization: float = 0.0
    coefficient_bound: float = 2.0
    goal_bound: float = 10.0
    initial_goal: float | tuple[float, float] = 0.8

    ends = False  # whether chance ends the game

    @property
    @abstractmethod
    def n_extra_uniforms(self) -> int:
        """How many uniform draws decide what a game keeps beside its goal."""

    @abstractmethod
    def start_extra(self, uniforms: Array) -> Any:
        """What the games keep beside their goals, from uniform draws of shape (B, n_extra_uniforms)."""

    @property
    @abstractmethod
    def common_discount(self) -> float | None:
        """γ by which all agents discount costs as the game is played; None if each has a γ of its own."""

    @property
    @abstractmethod
    def shown_bounds(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest value of each column that the game shows after the clock's four."""

    @property
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation: the clock's four columns, then what else the game shows."""
        fastest = max(1.0, float(self.learning_rates.max()))
        clock = (-self.goal_bound, self.goal_bound), (0, fastest), (0, 1), (0, 1)
        low, high = np.array([*clock, *self.shown_bounds], dtype=np.float64).T.copy()
        return low, high

    @property
    def n_start_uniforms(self) -> int:
        """One draw for the goal if it is drawn, and those for what else agents see that is drawn."""
        return isinstance(self.initial_goal, tuple) + (0 if self.stochastic else self.n_extra_uniforms)

    @property
    def n_uniforms(self) -> int:
        """One draw for the goal if it is drawn, then those for what else the game keeps."""
        return isinstance(self.initial_goal, tuple) + self.n_extra_uniforms

    def start(self, uniforms: Array, initial_goal: Array | None = None) -> State:
        """Set up games from uniform draws (B, n_uniforms); goals that are given, (B,), replace drawn ones."""
        xp = namespace(uniforms)
        if initial_goal is None:
            goal = draw(self.initial_goal, uniforms)
        else:
            goal = xp.asarray(initial_goal, dtype=uniforms.dtype, copy=True)
        extra = self.start_extra(uniforms[..., isinstance(self.initial_goal, tuple) :])
        return State(xp.zeros(uniforms.shape[:-1], dtype=xp.int64)[()], goal[()], extra)

    def coefficients(self, action: NDArray[Any]) -> Array:
        """The actions, or their first parts, in double precision, shape (B,)."""
        return action[..., 0].astype(np.float64)

    @property
    def sincerity(self) -> Array:
        """Coefficients of 1, or of the bound if that is less, shape (N,)."""
        return np.full(self.episodes, min(1.0, self.coefficient_bound))

    def actions_of(self, coefficients: Array) -> NDArray[Any]:
        """Actions, all of whose parts are such coefficients; (B,) to (B, A)."""
        return np.repeat(coefficients[..., None], len(self.action_bound), axis=-1)

    def validate_profile(self, coefficients: object, name: str = "coefficients") -> Array:
        """Check a profile of one coefficient per agent, shape (N,), as `validate_coefficients` does."""
        return validate_coefficients(self, coefficients, name)

    @cached_property
    def _discounts(self) -> Array | None:
        """γ^k for k = 0…N−1, a running product, alike for every batch size; None if γ is 1 or not common."""
        gamma = self.common_discount
        if gamma is None or gamma == 1:
            return None
        return np.cumprod(np.append(1.0, np.full(self.episodes - 1, gamma)))

    # -- Parameters -----------------------------------------------------------------------------------

    def _store_shared(
        self, validate_discount: Callable[[str, object, float, float], object] = validate_number
    ) -> None:
        """Store the parameters of all scalar games in canonical form."""
        rates = validation.validate_schedule(self.learning_rates)
        bound = validate_number("goal_bound", self.goal_bound, high=LARGEST, above=0.0)
        discount = validate_discount("discount", self.discount, 0.0, 1.0)
        weight = validate_number("regularization", self.regularization, 0.0)
        if weight and bound * (bound * weight) == np.inf:
            raise ValueError(
                f"the base loss must stay finite; got regularization {weight:g} with goal_bound {bound:g}"
            )
        most = validate_number("coefficient_bound", self.coefficient_bound, high=LARGEST, above=0.0)
        goal = validate_range("initial_goal", self.initial_goal, -bound, bound)
        self._store(learning_rates=rates, discount=discount, regularization=weight)
        self._store(coefficient_bound=most, goal_bound=bound, initial_goal=goal)

    def _check_update(self, steepest_slope: float | None = None, *also: str) -> None:
        """Raise a ValueError if θ (1 − 2η (c s + λ)) could leave floating point; it names `also` parameters.

        Slopes s are the coefficients c, unless the steepest is given.
        """
        slope = self.coefficient_bound if steepest_slope is None else steepest_slope
        fastest = self.learning_rates.max()
        with np.errstate(over="ignore"):
            steepest = 2 * fastest * (self.coefficient_bound * slope + self.regularization) * self.goal_bound
        if not np.isfinite(steepest):
            names = ("regularization", *also, "coefficient_bound")
            raise ValueError(
                f"one base update must stay finite; got a learning rate of {fastest:g} with "
                f"{', '.join(f'{name} {getattr(self, name):g}' for name in names)} "
                f"and goal_bound {self.goal_bound:g}"
            )


class GoalAlone(KnownLength, ScalarGame):
    """The aspect of games that keep nothing beside a goal, of which chance decides the first at most."""

    stochastic = False
    n_extra_uniforms = 0
    shown_bounds = ()

    def start_extra(self, uniforms: Array) -> tuple[()]:
        """Nothing is kept beside the goal."""
        return ()

    def observe(self, state: State) -> NDArray[np.float32]:
        """(θ_n, η_n, share of episodes left, share of training left), shape (B, 4)."""
        return self.observe_clock(state)


class Coefficients(ScalarGame):
    """The aspect of games in which an agent's action is its coefficient."""

    @cached_property
    def actions(self) -> Continuous:
        """Coefficients within ± the bound."""
        return Continuous(np.array([self.coefficient_bound]))


class OutputsAlone(ScalarGame):
    """The aspect of games whose agents judge episodes by their outputs and by nothing else."""

    def mesa_cost(
        self,
        output: Array,
        preferences: Array,
        elapsed: NDArray[np.int64] | int,
        details: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> Array:
        """Term γ^elapsed (y − θ)² of the mesa cost of agents that judge by θ, or (θ, γ), shape (…, P)."""
        distance = output - preferences[..., 0]
        cost: Array = distance * distance
        if self._discounts is not None:
            cost = cost * entries(self._discounts, elapsed)
        elif self.common_discount is None:
            cost = cost * np.power(preferences[..., 1], elapsed)
        return cost

    def silence(
        self, goal: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> tuple[Array, Mapping[str, NDArray[Any]]]:
        """Outputs of 0, in the shape of the goals, and the details."""
        return namespace(goal).zeros_like(goal), details

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> Array:
        """J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)², shape (N, B); γ is `details["discount"]` where agents differ.

        Raises:
            ValueError: If agents differ and that detail is missing.
        """
        if self.common_discount is not None:
            return quadratic_costs(goals, outputs * outputs, outputs, self.common_discount)
        if "discount" not in details:
            raise ValueError(
                f"mesa_costs needs the detail 'discount', by which agents judge; got {sorted(details)}"
            )
        discounts, costs = details["discount"], np.zeros_like(outputs)
        for k in reversed(range(len(outputs))):
            judges = slice(k + 1)
            costs[judges] = (outputs[k] - goals[judges]) ** 2 + discounts[judges] * costs[judges]
        return costs


@dataclass(frozen=True, eq=False)
class CommonDiscount(ScalarGame):
    """The aspect of games whose agents judge by their goals alone, and discount alike."""

    discount: float = 1.0

    @cached_property
    def common_discount(self) -> float:
        """γ, or 1 where chance ends the game, which has the same effect in expectation."""
        return 1.0 if self.ends else self.discount

    @property
    def preference_bounds(self) -> Array:
        """The bound of goals, shape (1,)."""
        return np.array([self.goal_bound])

    def preferences(self, state: State) -> Array:
        """The present agents' goals, shape (B, 1)."""
        return state.goal[..., None]


@dataclass(frozen=True, eq=False)
class JudgedByGoal(CommonDiscount, OutputsAlone):
    """The aspect of games whose agents judge outputs by their goals, and discount them alike."""


def quadratic_costs(goals: Any, squares: Any, sums: Any, discount: float) -> Array:
    """J_n = Σ_{k ≥ n} γ^(k−n) (q_k − 2 θ_n s_k + θ_n²), shape (N, B), which is never negative.

    Squares q_k and sums s_k, of shape (N, B) like the goals θ_n, are means of x² and of x over what agents
    want to equal their goals; of outputs alone, y_k² and y_k.
    """
    xp = namespace(sums)
    second = first = weights = nothing = xp.zeros_like(sums[0])
    costs = [nothing] * len(sums)
    for n in reversed(range(len(sums))):
        second = squares[n] + discount * second
        first = sums[n] + discount * first
        weights = 1 + discount * weights
        costs[n] = xp.maximum(second - 2 * goals[n] * first + goals[n] * goals[n] * weights, nothing)
    stacked: Array = xp.stack(costs)
    return stacked


def draw(value: float | tuple[float, float], uniforms: Any) -> Any:
    """`value` for each game, or drawn from that range by the first of uniforms (B, n); shape (B,)."""
    if isinstance(value, tuple):
        low, high = value
        return low + (high - low) * uniforms[..., 0]
    return namespace(uniforms).full(uniforms.shape[:-1], value, dtype=uniforms.dtype)


def validate_coefficients(game: ScalarGame, coefficients: object, name: str = "coefficients") -> Array:
    """Check a profile of one coefficient per agent, shape (N,).

    Raises:
        TypeError: If `game` is not a game.
        ValueError: If they have another shape, are not finite numbers, or lie outside the bound.
    """
    validation.require_kind(game, ScalarGame)
    episodes = game.episodes
    profile = validation.numbers_of(coefficients)
    if profile is None:
        raise ValueError(f"{name} must be {episodes} numbers; got {validation.show(coefficients)}")
    if profile.shape != (episodes,):
        raise ValueError(f"{name} must have shape ({episodes},); got shape {profile.shape}")
    limit = float(bound_in_any_precision(game.coefficient_bound))
    inside = validation.bring_within(profile, limit)
    if inside is None:
        wrong = np.flatnonzero(~(np.abs(profile) <= limit))[0]
        raise ValueError(
            f"{name} must be finite numbers in ±{game.coefficient_bound:g}; "
            f"got {profile[wrong]} for episode {wrong}"
        )
    return inside

"""What every game must answer, and the base update that games share.

A game is a frozen dataclass of parameters whose rules are pure functions of arrays. They are elementwise
over leading batch axes, of which there may be none: one game and a batch of 4096 run the same code and play,
bit for bit, the same games. Shapes are given for a batch of B.

The rules are expressions in the Python array API (`array_api_compat`), so that the same functions play on
NumPy, on PyTorch (autograd included) and on JAX (under jit); a game that cannot says why in its docstring.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import is_zero, project
from mesa_env.validation import validate_bounded_actions, validate_choices

Array = NDArray[np.float64]


class State(NamedTuple):
    """Where each game of a batch stands, before its present episode is played.

    Attributes:
        episode: Index n of the present episode, shape (B,); N once the game is over.
        goal: Goal θ_n of the present agent, shape (B,), or (B, k) where goals are vectors.
        extra: What else a game keeps: a NamedTuple of arrays of shape (B, …), or nothing.
    """

    episode: NDArray[np.int64]
    goal: Array
    extra: Any = ()


class Outcome(NamedTuple):
    """What one episode produced in each game of a batch; shape (B,), but of goals and outputs that of goals.

    Attributes:
        output: y_n, what the model emitted.
        base_loss: What the base optimizer descends.
        goal: θ_n, before the base update.
        next_goal: θ_{n+1}, after it.
        training: Whether the base optimizer was at work.
        details: What else the game's episodes produce, by name; none has the name of a field.
    """

    output: Array
    base_loss: Array
    goal: Array
    next_goal: Array
    training: NDArray[np.bool_]
    details: Mapping[str, NDArray[Any]] = MappingProxyType({})

    def info(self) -> dict[str, NDArray[Any]]:
        """Everything by name, details included."""
        named = self._asdict()
        named.update(named.pop("details"))
        return named

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles have a dictionary of details: a read-only one cannot be copied."""
        return type(self), (*self[:-1], dict(self.details))


@dataclass(frozen=True, eq=False)
class Continuous:
    """Actions that are vectors of A numbers, each within ± its bound; `bound` has shape (A,)."""

    bound: Array


@dataclass(frozen=True)
class Discrete:
    """Actions that are whole numbers from 0 to `count` − 1."""

    count: int


@dataclass(frozen=True, eq=False)
class Rules(ABC):
    """What a game must answer. Concrete methods here are final; every game implements all the others."""

    if TYPE_CHECKING:  # fields of every game, in an order of its own

        @property
        def learning_rates(self) -> Array:
            """η_n ≥ 0 for n = 0…N−1, shape (N,); positive in training, 0 in deployment."""

        @property
        def goal_bound(self) -> Any:
            """Goals lie in [−bound, bound]: a number, or an array of shape (k,) where goals are vectors."""

        @property
        def initial_goal(self) -> Any:
            """θ_0, or the pair of bounds between which each game draws it uniformly."""

    @abstractmethod
    def __post_init__(self) -> None:
        """Store every parameter in its canonical form.

        Raises:
            ValueError: If one is out of its range, or one base update could leave floating point.
        """

    def _store(self, **parameters: object) -> None:
        """Store parameters, whose arrays become read-only."""
        for name, value in parameters.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
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
    @abstractmethod
    def stochastic(self) -> bool:
        """Whether chance has a part in the game after its start."""

    @property
    @abstractmethod
    def n_uniforms(self) -> int:
        """How many uniform draws from [0, 1) decide everything that chance decides in one game."""

    @property
    @abstractmethod
    def n_start_uniforms(self) -> int:
        """How many of them, the first ones, decide what a game begins with, as far as agents see it."""

    @property
    def goal_shape(self) -> tuple[int, ...]:
        """Shape of one goal: () for a number, (k,) for a vector."""
        return np.shape(self.goal_bound)

    @cached_property
    def goal_width(self) -> int:
        """How many numbers of an observation show the goal, which come first."""
        return int(np.prod(self.goal_shape))

    @property
    @abstractmethod
    def actions(self) -> Continuous | Discrete:
        """What an agent chooses from."""

    @property
    @abstractmethod
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest observation, each of shape (W,)."""

    @property
    @abstractmethod
    def preference_bounds(self) -> Array:
        """Preferences lie in [−bound, bound]; shape (P,)."""

    # -- Playing --------------------------------------------------------------------------------------

    @abstractmethod
    def start(self, uniforms: Array, initial_goal: Array | None = None) -> State:
        """Set up a batch of games from uniform draws from [0, 1), shape (B, n_uniforms).

        Initial goals that are given, of shape (B,) or (B, k), replace what chance would give.
        """

    @abstractmethod
    def observe(self, state: State) -> NDArray[np.float32]:
        """What the present agents see, shape (B, W)."""

    @abstractmethod
    def episode_from_observation(self, observation: NDArray[np.floating]) -> NDArray[np.int64]:
        """The episode that an observation shows its agent to be in, from 0 to N − 1; (B, W) to (B,)."""

    @abstractmethod
    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game, none of which may be over.

        Valid actions have shape (B, A), or (B,) where they are discrete. Returns the games after the base
        update, and what the episode produced.
        """

    @abstractmethod
    def over(self, state: State) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each game has come to its end, and whether it was cut short; each of shape (B,)."""

    # -- Judging --------------------------------------------------------------------------------------

    @abstractmethod
    def preferences(self, state: State) -> Array:
        """What the present agents judge outputs by, shape (B, P): their goals, and what else they mind."""

    @abstractmethod
    def mesa_cost(
        self,
        output: Array,
        preferences: Array,
        elapsed: NDArray[np.int64] | int,
        details: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> Array:
        """Term of episode k, whose output is y_k, in the mesa costs of agents n ≤ k.

        `preferences` are the agents', shape (…, P), and `elapsed` is k − n; both broadcast against `output`.
        `details` are the outcome's: some agents judge an episode by more than its output.
        """

    @abstractmethod
    def silence(
        self, goal: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> tuple[Array, Mapping[str, NDArray[Any]]]:
        """Outputs and details of models that pursue nothing, which costs are compared with.

        They are those of episodes with such goals and details. Where outputs are numbers they are 0, and so
        is whatever else agents want to equal their goals.
        """

    @abstractmethod
    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> Array:
        """Mesa costs J_n of all agents of finished games, each judged by its own preferences, shape (N, B).

        Goals θ_n, outputs y_n and the outcomes' details have shape (N, B). Raises a ValueError if a detail
        that agents judge by is missing.
        """

    @abstractmethod
    def coefficients(self, action: NDArray[Any]) -> Array:
        """By how much agents pursue their goals with valid actions of a batch, shape (B,)."""

    @property
    @abstractmethod
    def sincerity(self) -> Array:
        """The profile of agents that pursue nothing but their present goals, shape (N,)."""

    @abstractmethod
    def actions_of(self, coefficients: Array) -> NDArray[Any]:
        """Valid actions with such coefficients, shape (B,); one stands for all parts of an action."""

    @abstractmethod
    def validate_profile(self, coefficients: object, name: str = "coefficients") -> Array:
        """Check a profile of one coefficient per agent, shape (N,).

        Raises:
            ValueError: If they have another shape, or no action of the game has such a coefficient.
        """

    # -- Actions and identity -------------------------------------------------------------------------

    @property
    def action_bound(self) -> Array:
        """Continuous actions lie in [−bound, bound], shape (A,); a TypeError if they are discrete."""
        actions = self.actions
        if isinstance(actions, Discrete):
            raise TypeError(f"{type(self).__name__}'s actions are {actions.count} choices without a bound")
        return actions.bound.copy()

    def validate_actions(self, action: object, batch: tuple[int, ...]) -> NDArray[Any]:
        """Check actions of a batch of shape (B,), or () for a single game.

        Returns:
            The actions as an array, shape (*batch, A) in the precision that they came in, or in double
            precision if they are integers; or (*batch,) of whole numbers where actions are discrete. Those
            within four steps of single precision outside a bound are brought back to it.

        Raises:
            ValueError: If they have another shape, are not finite numbers, or lie outside the bounds.
        """
        if isinstance(self._limits, int):
            return validate_choices(action, batch, self._limits)
        return validate_bounded_actions(action, batch, *self._limits)

    @cached_property
    def _limits(self) -> int | tuple[NDArray[np.float32], Array]:
        """What actions are checked against: their count, or the bound in single and in double precision.

        Spaces are in single precision, where a bound may be more than in double (0.1 is).
        """
        if isinstance(self.actions, Discrete):
            return self.actions.count
        single = self.actions.bound.astype(np.float32)
        return single, np.maximum(self.actions.bound, single)

    def __reduce__(self) -> tuple[object, ...]:
        """Copies and pickles are rebuilt from the parameters, hence immutable too."""
        return type(self), tuple(getattr(self, parameter.name) for parameter in fields(self))

    def __eq__(self, other: object) -> bool:
        """Two games are equal when all their parameters are."""
        return isinstance(other, Rules) and self._key() == other._key()

    def __hash__(self) -> int:
        """Consistent with equality."""
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        parameters = (getattr(self, parameter.name) for parameter in fields(self))
        return type(self), *(x.tobytes() if isinstance(x, np.ndarray) else x for x in parameters)


def base_update(
    goal: Any, product: Any, rate: Any, regularization: Any, bound: Any, push: Any | None = None
) -> Any:
    """One step of the base optimizer on (cθ)² + λθ²: θ' = θ (1 − 2η (c ∂y/∂θ + λ)), elementwise.

    `product` is c ∂y/∂θ, which is c² for a policy y = cθ; `push` is what else moves the goal, if anything.
    The result is projected onto [−bound, bound].
    """
    factor = product if is_zero(regularization) else product + regularization
    moved = (factor * (-2 * rate) + 1.0) * goal
    return project(moved if push is None else moved + push, bound)

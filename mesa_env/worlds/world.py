"""Worlds: deterministic decision problems of a few steps, and the tables of all that their plans lead to.

A plan is a sequence of H actions from a fixed start. All that matters of it are the counts φ of some
features with which it ends, and the base return r: what whoever trains wants. Two plans that end in the same
(φ, r) are the same plan, so that a world is its *plan table*: the distinct (φ, r), and how many plans lead to
each. It is found by dynamic programming over states, exactly: ways are whole numbers of any size.

A goal is a vector of weights over the features. Training can move it only in directions in which the world
tells features apart (`Plans.conserved`).
"""

import functools
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mesa_env.numerics import Array
from mesa_env.validation import numbers_of, shorten, show, validate_whole

_MOST_STEPS = 5_000_000  # of plans by state and step: about ten seconds


class Plans(NamedTuple):
    """The plan table of a world: its distinct outcomes, in lexical order of features and base return."""

    features: Array
    """φ, shape (M, k)."""
    base: Array
    """r, shape (M,)."""
    log_ways: Array
    """Logarithm of how many plans lead to each outcome, shape (M,)."""
    ways: tuple[int, ...]
    """How many, exactly; they sum to A^H for A actions."""

    @property
    def conserved(self) -> Array:
        """Directions of weights, as orthonormal rows (d, k), in which no plan differs from another.

        Whatever is trained in this world by how its plans differ moves no goal along them.
        """
        sizes, directions = singular_directions(self.features - self.features[0])
        return directions[len(sizes) :]


def singular_directions(rows: Array) -> tuple[Array, Array]:
    """Directions (k, k) as orthonormal rows, those that rows (M, k) span first, and the sizes of these."""
    triangle = np.linalg.qr(rows, mode="r")  # of min(M, k) rows
    _, sizes, directions = np.linalg.svd(triangle, full_matrices=True)
    rank = int((sizes > max(rows.shape) * np.finfo(float).eps * sizes.max(initial=0.0)).sum())
    return sizes[:rank], directions


def require_plans(plans: object) -> None:
    """Check that `plans` is a plan table; a TypeError otherwise."""
    if not isinstance(plans, Plans):
        raise TypeError(f"plans must be a plan table, as World.plans returns; got {show(plans)}")


class World(ABC):
    """A deterministic decision problem of H steps.

    A world of one's own says where it starts, which actions there are, where a step leads, and what a state
    is worth at the end; plan table and planner follow. States must be hashable, and a step must not change
    the state that it is given. Worlds that are equal share a plan table, so that a world with parameters
    should be a frozen dataclass.
    """

    @property
    @abstractmethod
    def horizon(self) -> int:
        """H, the number of steps."""

    @property
    @abstractmethod
    def actions(self) -> Sequence[str]:
        """Names of the actions; one that does nothing in a state still takes a step."""

    @property
    @abstractmethod
    def features(self) -> Sequence[str]:
        """Names of the features that a goal weighs."""

    @abstractmethod
    def start(self) -> Hashable:
        """The first state."""

    @abstractmethod
    def step(self, state: Any, action: str) -> Hashable:
        """The state that an action leads to."""

    @abstractmethod
    def outcome(self, state: Any) -> tuple[Sequence[float], float]:
        """Counts of the features, one number each, and the base return, if all ends in this state."""

    def plans(self) -> Plans:
        """The plan table; it is computed once.

        Raises:
            TypeError: If the world or a state is not hashable.
            ValueError: If the world has no steps or no actions, too many states to count, states that its
                methods do not accept, or outcomes that are not one finite number for each feature and one
                for the base return.
        """
        if type(self).__hash__ is None:
            raise TypeError(f"worlds must be hashable: make {type(self).__name__} a frozen dataclass")
        return _tabulated(self)


@functools.lru_cache(maxsize=64)
def states_of(world: World) -> dict[Hashable, int]:
    """All states that plans come through, numbered in the order of the steps that they are reached in.

    Raises:
        TypeError: If a state is not hashable.
        ValueError: If there are too many to count, or the world has no steps or no actions.
    """
    numbers: dict[Hashable, int] = {}
    for ways in walk(world):
        for state in ways:
            numbers.setdefault(state, len(numbers))
    return numbers


def measure(world: World, state: Hashable) -> tuple[Array, float]:
    """Counts of the features, shape (k,), and the base return, if all ends in this state.

    Raises:
        ValueError: If they are not one finite number for each feature and one for the base return.
    """
    *features, base = _entries(world, state, len(names_of(world, "features")))
    return np.array(features), base


def walk(world: World) -> Iterator[Counter[Hashable]]:
    """How many plans lead to each state, before the first step and after each."""
    name, actions = type(world).__name__, names_of(world, "actions")
    horizon = validate_whole(f"the horizon of {name}", world.horizon, 1)
    ways = Counter({_hashable(world, _ask(world, "start")): 1})
    yield ways
    steps = 0
    for _ in range(horizon):
        steps += len(ways) * len(actions)
        if steps > _MOST_STEPS:
            raise ValueError(
                f"a plan table must need at most {_MOST_STEPS} steps by state; that of {name} needs more: "
                "shorten the horizon, or let states say less"
            )
        after: Counter[Hashable] = Counter()
        for state, count in ways.items():
            for action in actions:
                after[_hashable(world, _ask(world, "step", state, action))] += count
        ways = after
        yield ways


def tabulate(world: World) -> Plans:
    """The plan table of a world, computed anew; errors are those of `World.plans`."""
    features = names_of(world, "features")
    ways: Counter[Hashable] = deque(walk(world), maxlen=1)[0]
    outcomes: Counter[tuple[float, ...]] = Counter()
    for state, count in ways.items():
        outcomes[_entries(world, state, len(features))] += count
    rows = sorted(outcomes)
    table = np.array(rows)
    exact = tuple(outcomes[row] for row in rows)
    logarithms = np.array([_logarithm(count) for count in exact])
    for array in (table, logarithms):
        array.setflags(write=False)  # the table is shared
    return Plans(table[:, :-1], table[:, -1], logarithms, exact)


_tabulated = functools.lru_cache(maxsize=64)(tabulate)


def _ask(world: World, method: str, *arguments: object) -> Any:
    """What a method of a world returns for a state, which may be one that the world does not have."""
    try:
        return getattr(world, method)(*arguments)
    except Exception as error:  # whatever a user's class raises
        call = f"{type(world).__name__}.{method}({', '.join(map(show, arguments))})"
        reason = shorten(f"{type(error).__name__}: {error}")
        raise ValueError(
            f"a world must start in a state of its own and lead from it to others; {call} raised {reason}"
        ) from error


def _hashable(world: World, state: Hashable) -> Hashable:
    """The state, if it can be counted."""
    try:
        hash(state)
    except TypeError:
        raise TypeError(f"states of {type(world).__name__} must be hashable; got {show(state)}") from None
    return state


def names_of(world: World, what: str) -> tuple[str, ...]:
    """Actions or features of a world."""
    given = getattr(world, what, None)
    names = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f"{what} of {type(world).__name__} must be one or more different names; got {show(given)}"
        )
    return names


def _entries(world: World, state: Hashable, count: int) -> tuple[float, ...]:
    """The outcome of a state as one row: features, then base return."""
    given = _ask(world, "outcome", state)
    try:
        features, base = given
    except (TypeError, ValueError):
        features, base = None, None
    parts = numbers_of(features), numbers_of(base)
    if (
        parts[0] is None
        or parts[1] is None
        or parts[0].shape != (count,)
        or parts[1].ndim
        or not all(np.isfinite(part).all() for part in parts if part is not None)
    ):
        raise ValueError(
            f"an outcome of {type(world).__name__} must be {count} finite numbers, one for each feature, and "
            f"a finite base return; got {show(given)}"
        )
    return (*parts[0].tolist(), float(parts[1]))


def _logarithm(count: int) -> float:
    """Natural logarithm of a whole number of any size."""
    shift = max(count.bit_length() - 64, 0)
    return float(np.log(float(count >> shift)) + shift * np.log(2.0))

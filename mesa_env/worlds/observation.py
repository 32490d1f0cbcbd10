"""What is seen of a world, step by step: one vector of numbers, whose last is the share of steps left."""

import functools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env.numerics import Array
from mesa_env.validation import numbers_of, show
from mesa_env.worlds.world import World, states_of

MOST_COLUMNS = 10_000
"""Most states of a world that are seen one-hot."""


class ObservedWorld(World):
    """A world that says what is seen of its states; of others, the state is seen one-hot."""

    @abstractmethod
    def observe(self, state: Any) -> Sequence[float]:
        """What is seen of a state, W numbers."""

    @property
    @abstractmethod
    def observation_bounds(self) -> tuple[Sequence[float], Sequence[float]]:
        """Lowest and highest of the W numbers."""


def observe(world: World, state: Any, step: int) -> NDArray[np.float32]:
    """What is seen of a state after `step` steps, shape (W + 1,): the state, then the share of steps left.

    Raises:
        ValueError: If a world of one's own shows something else than numbers within its bounds.
    """
    if isinstance(world, ObservedWorld):
        low, high = bounds(world)
        seen = numbers_of(world.observe(state))
        if (
            seen is None
            or seen.shape != (len(low) - 1,)
            or not ((low[:-1] <= seen) & (seen <= high[:-1])).all()
        ):
            raise ValueError(
                f"{type(world).__name__} must show {len(low) - 1} numbers within its observation_bounds; "
                f"got {show(world.observe(state))}"
            )
    else:
        numbers = states_of(world)
        seen = np.zeros(len(numbers))
        seen[numbers[state]] = 1.0
    return np.append(seen, 1.0 - step / world.horizon).astype(np.float32)


@functools.lru_cache(maxsize=64)
def bounds(world: World) -> tuple[Array, Array]:
    """Lowest and highest observation, shape (W + 1,) each.

    Raises:
        ValueError: If those of a world of one's own are no finite bounds, or it has too many states to show.
    """
    name = type(world).__name__
    if isinstance(world, ObservedWorld):
        ends = numbers_of(world.observation_bounds)
        if ends is None or ends.ndim != 2 or len(ends) != 2 or not (ends[0] <= ends[1]).all():
            raise ValueError(
                f"observation_bounds of {name} must be as many lowest as highest numbers; "
                f"got {show(world.observation_bounds)}"
            )
        return np.append(ends[0], 0.0), np.append(ends[1], 1.0)
    count = len(states_of(world))
    if count > MOST_COLUMNS:
        raise ValueError(
            f"states of a world must be at most {MOST_COLUMNS} to be seen one-hot; {name} has {count}: "
            "make it an ObservedWorld"
        )
    return np.zeros(count + 1), np.ones(count + 1)

"""Checks of the parameters of games whose goals are vectors."""

import numpy as np

from mesa_env.rules.rules import Array
from mesa_env.validation import LARGEST, bring_within, numbers_of, show, show_bound

MOST_PURSUITS = 1000
"""Most pursuits that agents may choose from."""


def validate_vector(name: str, value: object, width: int, above: float | None = None) -> Array:
    """Check numbers, one for each of `width` features, or one for all; shape (k,)."""
    numbers = numbers_of(value)
    fits = numbers is not None and numbers.shape in ((), (width,)) and (np.abs(numbers) <= LARGEST).all()
    if not fits or numbers is None or (above is not None and not (numbers > above).all()):
        kind = "finite numbers" if above is None else f"finite numbers above {above:g}"
        raise ValueError(f"{name} must be {kind}, one for each of {width} features; got {show(value)}")
    return np.broadcast_to(numbers + 0.0, (width,)).copy()


def validate_start(value: object, bound: Array) -> Array | tuple[tuple[float, ...], tuple[float, ...]]:
    """Check θ_0, shape (k,), or a pair of bounds of it, shape (2, k)."""
    given, width = numbers_of(value), len(bound)
    inside = None
    if given is not None and given.shape in ((width,), (2, width)):
        inside = bring_within(given, bound)
    if inside is None:
        raise ValueError(
            f"initial_goal must be finite numbers in ±{show_bound(bound)}, one for each of {width} features, "
            f"or a pair of such; got {show(value)}"
        )
    inside = inside + 0.0
    if inside.ndim == 1:
        return inside
    if not (inside[0] <= inside[1]).all():
        raise ValueError(f"initial_goal's pair must be in ascending order; got {show(value)}")
    low, high = (tuple(end.tolist()) for end in inside)
    return low, high


def validate_pursuits(value: object) -> tuple[float, ...]:
    """Check what agents choose from."""
    given = numbers_of(value)
    if (
        given is None
        or given.ndim != 1
        or not 0 < given.size <= MOST_PURSUITS
        or not ((given >= 0) & (given <= 1)).all()
        or len(np.unique(given)) < given.size
    ):
        raise ValueError(
            f"pursuits must be one to {MOST_PURSUITS} different numbers in [0, 1]; got {show(value)}"
        )
    return tuple((given + 0.0).tolist())

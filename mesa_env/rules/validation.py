"""Checks of what users give the games; a refusal says what is allowed and what was given."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST = 1e38
"""Bound of whatever agents observe or do: their spaces are in single precision."""


def validated_schedule(learning_rates: object) -> Array:
    """Check learning rates, shape (N,); what is returned is a copy."""
    allowed = "learning_rates must be a non-empty one-dimensional sequence of finite numbers ≥ 0"
    try:
        given = np.array(learning_rates)
    except ValueError:
        given = np.array("ragged")
    if given.dtype.kind not in "fiu":
        raise ValueError(f"{allowed}; got {learning_rates!r}")
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"{allowed}; got an array of shape {given.shape}")
    rates = given.astype(np.float64) + 0.0  # turns −0 into 0
    wrong = np.flatnonzero(~(np.isfinite(rates) & (rates >= 0)))
    if wrong.size:
        raise ValueError(f"{allowed}; got {rates[wrong[0]]} for episode {wrong[0]}")
    return rates


def validated_number(
    name: str, value: object, low: float = -np.inf, high: float = np.inf, above: float | None = None
) -> float:
    """Check that `value` is a finite number in [low, high], or greater than `above` where that is given."""
    if above is not None:
        allowed = f"greater than {above:g} and at most {high:.1g}"
    elif np.isfinite(high):
        allowed = f"in [{low:g}, {high:g}]"
    else:
        allowed = f"at least {low:g}"
    single = np.ndim(value) == 0 if isinstance(value, np.ndarray) else not isinstance(value, Sequence)
    given = np.asarray(value) if single else np.array("several")
    number = float(given) if given.ndim == 0 and given.dtype.kind in "fiu" else np.nan
    if not (np.isfinite(number) and low <= number <= high and (above is None or number > above)):
        raise ValueError(f"{name} must be a finite number {allowed}; got {value!r}")
    return number + 0.0  # turns −0 into 0


def validated_range(name: str, value: object, low: float, high: float) -> float | tuple[float, float]:
    """Check what a game begins with: a number in [low, high], or a pair of them to draw it from."""
    pair = isinstance(value, Sequence) and not isinstance(value, str)
    if not (pair or (isinstance(value, np.ndarray) and value.ndim)):
        return validated_number(name, value, low, high)
    assert isinstance(value, Sequence | np.ndarray)
    if len(value) != 2:
        raise ValueError(f"{name} must be a number or a (low, high) pair; got {value!r}")
    first, last = (validated_number(name, end, low, high) for end in value)
    if first > last:
        raise ValueError(f"{name}'s (low, high) pair must be in ascending order; got {value!r}")
    return first, last


def validated_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Check that `value` is a whole number of at least `low`, and at most `high` where that is given."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        allowed = f"≥ {low}" if high is None else f"in {low}…{high}"
        raise ValueError(f"{name} must be a whole number {allowed}; got {value!r}")
    return int(value)


def validated_flag(name: str, value: object) -> bool:
    """Check that `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {value!r}")
    return bool(value)


def validated_bounded_actions(
    action: object, batch: tuple[int, ...], single: NDArray[np.float32], double: Array
) -> NDArray[Any]:
    """Check vectors of numbers within ± a bound, given in both precisions; shape (*batch, A)."""
    actions = np.asarray(action)
    if actions.shape != (*batch, len(single)):
        raise ValueError(f"actions must have shape {(*batch, len(single))}; got shape {actions.shape}")
    limit = single if actions.dtype == np.float32 else double
    if actions.dtype.kind not in "fiu" or not (np.abs(actions) <= limit).all():
        bounds = ", ".join(f"[{-bound:g}, {bound:g}]" for bound in double)
        raise ValueError(f"actions must be finite numbers in {bounds}; got {action}")
    return actions


def validated_choices(action: object, batch: tuple[int, ...], count: int) -> NDArray[Any]:
    """Check whole numbers from 0 to `count` − 1; shape batch."""
    actions = np.asarray(action)
    if actions.shape != batch:
        raise ValueError(f"actions must have shape {batch}; got shape {actions.shape}")
    if actions.dtype.kind not in "iu" or not ((actions >= 0) & (actions < count)).all():
        raise ValueError(f"actions must be whole numbers in [0, {count - 1}]; got {action}")
    return actions


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint at the known name closest to `name`, to end an error message with; empty if none is close."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

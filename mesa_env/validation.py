"""Checks of what users give the games; a refusal says what is allowed and what was given.

Whatever is given becomes an array through `array_of` alone, so that masks, gradients and numbers without end
are noticed; numbers are compared with their bounds in double precision, in which no integer type wraps.
"""

import difflib
import itertools
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST = 1e38
"""Bound of whatever agents observe or do: their spaces are in single precision."""
MOST_EPISODES = 10_000_000
"""Longest schedule that a game may have; no other sequence than an array may hold more numbers."""
MOST_NUMBERS = 2**28
"""Most numbers that an array may hold: 2 GiB."""

_LONGEST_TEXT = 100  # characters of a value that are shown
_DEEPEST = 3  # axes that anything of a user's may have
_SHORT = reprlib.Repr()  # never writes millions of entries, of which few would be shown
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxdeque = _LONGEST_TEXT // 2
_SHORT.maxlevel, _SHORT.maxother, _SHORT.maxlong, _SHORT.maxstring = _DEEPEST, 10**6, 10**6, 10**6
_ULPS = 4  # steps of single precision that rounding may take a number past its bound, as wrappers do


# -- What was given ---------------------------------------------------------------------------------------


def show(value: object) -> str:
    """A value in one short line, whatever it is."""
    if isinstance(value, np.ndarray) and value.size > MOST_NUMBERS:
        return f"an array of shape {value.shape}, of more than {MOST_NUMBERS} numbers"
    try:
        text = _SHORT.repr(value) if isinstance(value, Sequence) else repr(value)
    except Exception:  # of integers that are too long, or of a user's class
        text = f"a value of type {type(value).__name__}"
    return shorten(text)


def show_bound(bound: Any) -> str:
    """The bound of a number, or of each of several."""
    return f"{bound:g}" if np.ndim(bound) == 0 else f"[{', '.join(f'{part:g}' for part in bound)}]"


def shorten(text: str) -> str:
    """A text in one line, cut to what fits in a message."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def array_of(value: object) -> NDArray[Any] | None:
    """A value as an array, in double precision if it holds integers; None if an array would lose part of it.

    None stands for ragged lists, masked entries, flags among numbers, tensors that require grad or are not in
    main memory, and sequences of more than `MOST_EPISODES`. Arrays beyond `MOST_NUMBERS` stay as they are.
    """
    flags = False
    try:
        count = 0
        for entry, many in _entries_of(value, _DEEPEST):
            count += many
            if count > MOST_EPISODES or (isinstance(entry, np.ma.MaskedArray) and np.ma.is_masked(entry)):
                return None
            flags |= entry is not value and _is_flag(entry)
        array: NDArray[Any] = np.asarray(value)
        if array.size > MOST_NUMBERS:
            return array
        if array.dtype == object and array.size:
            kinds = {type(entry) for entry in array.flat}
            if kinds <= {int, float} or (kinds and all(issubclass(kind, np.number) for kind in kinds)):
                array = array.astype(np.float64)
    except Exception:  # whatever a user's class raises when it is converted
        return None
    if flags and array.dtype.kind != "b":
        return None
    return array.astype(np.float64) if array.dtype.kind in "iu" else array


def _entries_of(value: Any, depth: int) -> Iterator[tuple[object, int]]:
    """A value, or what nested sequences hold, each with how many plain numbers it stands for.

    Raises:
        ValueError: If there are too many entries, or too many sequences within each other.
    """
    if not _is_sequence(value):
        yield value, 1
        return
    if not depth or len(value) > MOST_EPISODES:
        raise ValueError("too deep or too long")
    entries = list(itertools.islice(value, len(value) + 1))
    if len(entries) > len(value):
        raise ValueError("longer than it says")
    if set(map(type, entries)) <= {float, int}:
        yield from [(entries[0], len(entries))] if entries else []
        return
    for entry in entries:
        yield from _entries_of(entry, depth - 1)


def _is_sequence(value: object) -> bool:
    """Whether NumPy would read a value entry by entry."""
    kind = type(value)
    if not (hasattr(kind, "__len__") and hasattr(kind, "__getitem__")) or hasattr(kind, "__array__"):
        return False
    return not isinstance(value, str | bytes | bytearray | memoryview | Mapping)


def _is_flag(entry: object) -> bool:
    """Whether an entry of a sequence is a flag, or an array of flags of any library."""
    return isinstance(entry, bool) or "bool" in str(getattr(entry, "dtype", ""))


def numbers_of(value: object) -> Array | None:
    """A value as an array of real numbers in double precision; None if it holds anything else."""
    array = array_of(value)
    if array is None or array.dtype.kind != "f" or array.size > MOST_NUMBERS:
        return None
    with np.errstate(over="ignore"):
        return array.astype(np.float64)


def flags_of(value: object) -> NDArray[np.bool_] | None:
    """A value as an array of flags, for which 0 and 1 may stand; None if it holds anything else."""
    array = array_of(value)
    if array is None or array.size > MOST_NUMBERS:
        return None
    known = array.dtype.kind == "b" or (array.dtype.kind == "f" and np.isin(array, [0, 1]).all())
    return array.astype(bool) if known else None


def bring_within(values: NDArray[Any], limit: Any) -> NDArray[Any] | None:
    """Values, of which those just outside ± a limit are brought back to it; None if any is further off.

    Rounding may take values past it by a few steps of single precision, as in `RescaleAction`.
    """
    outermost = limit + _ULPS * np.spacing(np.asarray(limit, dtype=np.float32)).astype(np.float64)
    if not (np.abs(values) <= outermost).all():
        return None
    inside: NDArray[Any] = np.clip(values, -limit, limit).astype(values.dtype)
    return inside


def is_whole(value: object) -> bool:
    """Whether a value is a whole number, which neither flags nor durations are."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


# -- Checks -----------------------------------------------------------------------------------------------


def validate_schedule(learning_rates: object) -> Array:
    """Check learning rates, shape (N,); what is returned is a copy."""
    allowed = (
        f"learning_rates must be a non-empty one-dimensional sequence of at most {MOST_EPISODES} "
        f"finite numbers ≥ 0 and at most {LARGEST:g}"
    )
    rates = numbers_of(learning_rates)
    if rates is None:
        raise ValueError(f"{allowed}; got {show(learning_rates)}")
    if rates.ndim != 1 or not 0 < rates.size <= MOST_EPISODES:
        raise ValueError(f"{allowed}; got an array of shape {rates.shape}")
    wrong = np.flatnonzero(~((rates >= 0) & (rates <= LARGEST)))
    if wrong.size:
        raise ValueError(f"{allowed}; got {rates[wrong[0]]} for episode {wrong[0]}")
    return rates + 0.0  # turns −0 into 0


def validate_number(
    name: str, value: object, low: float = -np.inf, high: float = np.inf, above: float | None = None
) -> float:
    """Check that `value` is a finite number in [low, high], or greater than `above` where that is given."""
    if above is not None:
        allowed = f"greater than {above:g} and at most {high:.1g}"
    elif np.isfinite(high):
        allowed = f"in [{low:g}, {high:g}]"
    else:
        allowed = f"at least {low:g}"
    given = numbers_of(value)
    number = float(given) if given is not None and given.ndim == 0 else np.nan
    if not (np.isfinite(number) and low <= number <= high and (above is None or number > above)):
        raise ValueError(f"{name} must be a finite number {allowed}; got {show(value)}")
    return number + 0.0  # turns −0 into 0


def validate_range(name: str, value: object, low: float, high: float) -> float | tuple[float, float]:
    """Check what a game begins with: a number in [low, high], or a pair of them to draw it from."""
    ends = numbers_of(value)
    if ends is None or ends.shape not in ((), (2,)) or not ((low <= ends) & (ends <= high)).all():
        raise ValueError(
            f"{name} must be a finite number in [{low:g}, {high:g}] or a (low, high) pair of them; "
            f"got {show(value)}"
        )
    if ends.ndim == 0:
        return float(ends) + 0.0  # turns −0 into 0
    first, last = ends.tolist()
    if first > last:
        raise ValueError(f"{name}'s (low, high) pair must be in ascending order; got {show(value)}")
    return first + 0.0, last + 0.0


def validate_whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Check that `value` is a whole number of at least `low`, and at most `high` where that is given."""
    number = int(value) if is_whole(value) else None  # small integer types cannot be compared with any bound
    if number is None or number < low or (high is not None and number > high):
        allowed = f"≥ {low}" if high is None else f"in {low}…{high}"
        raise ValueError(f"{name} must be a whole number {allowed}; got {show(value)}")
    return number


def validate_flag(name: str, value: object) -> bool:
    """Check that `value` is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False; got {show(value)}")
    return bool(value)


def validate_name(name: str, value: object, known: Iterable[str]) -> str:
    """Check that `value` is one of the known names."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        listed = " or ".join(map(repr, names)) if len(names) == 2 else f"one of {', '.join(names)}"
        hint = did_you_mean(value, names) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be {listed}; got {show(value)}{hint}")
    return value


def require_kind(game: object, kind: type) -> None:
    """Check that `game` is a game of a kind; a TypeError otherwise."""
    if not isinstance(game, kind):
        raise TypeError(f"game must be a game of type {kind.__name__} (mesa_env.rules); got {show(game)}")


def validate_bounded_actions(
    action: object, batch: tuple[int, ...], single: NDArray[np.float32], double: Array
) -> NDArray[Any]:
    """Check vectors of numbers within ± a bound, given in both precisions; shape (*batch, A)."""
    shape = (*batch, len(single))
    if type(action) is np.ndarray and action.dtype.kind == "f" and action.shape == shape:  # at every step
        limit = single if action.dtype == np.float32 else double
        if (np.abs(action) <= limit).all():
            return action
    actions = array_of(action)
    if actions is not None and actions.dtype.kind in "fiu" and actions.shape != shape:
        raise ValueError(f"actions must have shape {shape}; got shape {actions.shape}")
    if actions is not None and actions.dtype.kind == "f":
        inside = bring_within(actions, double)
        if inside is not None:
            return inside
    bounds = ", ".join(f"[{-bound:g}, {bound:g}]" for bound in double)
    raise ValueError(f"actions must be finite numbers in {bounds}; got {_offending(action, actions, double)}")


def _offending(action: object, actions: NDArray[Any] | None, limit: Array) -> str:
    """What is wrong with actions: the first bad row of a batch of numbers, or all there is."""
    if actions is not None and actions.dtype.kind == "f" and actions.ndim > 1:
        row = int(np.flatnonzero(~(np.abs(actions) <= limit).all(axis=-1))[0])
        return f"{actions[row]} in row {row}"
    plain = isinstance(action, np.ndarray) and action.dtype.kind in "fiub" and not np.ma.is_masked(action)
    return shorten(str(action)) if plain else show(action)


def validate_choices(action: object, batch: tuple[int, ...], count: int) -> NDArray[Any]:
    """Check whole numbers from 0 to `count` − 1; shape batch."""
    allowed = f"actions must be whole numbers in [0, {count - 1}]"
    given = array_of(action)
    if given is None or given.dtype.kind not in "fiu":
        raise ValueError(f"{allowed}; got {show(action)}")
    if given.shape != batch:
        raise ValueError(f"actions must have shape {batch}; got shape {given.shape}")
    actions = np.asarray(action)
    if actions.dtype.kind not in "iu" or not ((actions >= 0) & (actions < count)).all():
        raise ValueError(f"{allowed}; got {show(action)}")
    return actions


def validate_options(options: object) -> dict[str, Any]:
    """Check the options of `reset`: a mapping, or None for an empty one."""
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"reset's options must be a dict or None; got {show(options)}")
    return dict(options or {})


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """A hint at the known name closest to `name`, to end an error message with; empty if none is close."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

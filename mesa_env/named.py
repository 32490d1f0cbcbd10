"""Parts of games that users give by name: optimizers and worlds, with their parameters."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from mesa_env.validation import did_you_mean, show

Part = TypeVar("Part")


def make_named(
    given: object, base: type[Part], named: Mapping[str, type[Part]], /, **parameters: Any
) -> Part:
    """Make a part of a game, given in any form, with some of its parameters set.

    Args:
        given: A part, a class of such parts, a name in `named`, or a mapping from parameters' names to values
            with the part's own name beside them, under the name of its `base` in lower case.
        base: What it must be.
        named: The parts that have names.
        parameters: Its fields; those not given stay as they are.

    Raises:
        TypeError: If it is something else.
        ValueError: If there is no such part or parameter, or a parameter is out of its range.
    """
    what, kind = base.__name__.lower(), base.__name__
    article, capital = ("an" if letter in "aeiouAEIOU" else "a" for letter in (what[0], kind[0]))
    if isinstance(given, Mapping):
        values = dict(given)
        if not isinstance(values.get(what), str) or not all(isinstance(name, str) for name in values):
            raise ValueError(
                f"{article} {what}'s parameters must be a mapping from names, with its own name as {what!r}; "
                f"got {show(given)}"
            )
        return make_named(values.pop(what), base, named, **values | parameters)
    if isinstance(given, str) and given not in named:
        raise ValueError(
            f"{what} must be one of {', '.join(named)}, or {capital} {kind} of one's own; "
            f"got {show(given)}{did_you_mean(given, named)}"
        )
    if isinstance(given, str):
        given = named[given]
    if isinstance(given, type) and issubclass(given, base):
        given = given()
    if not isinstance(given, base):
        raise TypeError(f"{what} must be {capital} {kind}, or one of {', '.join(named)}; got {show(given)}")
    known = parameters_of(given)
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"{type(given).__name__} has no parameter {name!r}; it has {', '.join(known) or 'none'}"
                f"{did_you_mean(name, known)}"
            )
    made: Part = replace(given, **parameters) if parameters else given  # type: ignore[type-var]
    return made


def parameters_of(part: object) -> list[str]:
    """Names of the parameters of a part of a game."""
    return [field.name for field in fields(part) if field.init] if is_dataclass(part) else []

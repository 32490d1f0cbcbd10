"""Worlds as plain parameters: their names, what JSON and the command line hold of them, and the way back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from mesa_env.validation import did_you_mean, show, validate_name
from mesa_env.worlds.kitchens import CookieElimination, CrumbVacuuming, TableSetting, TableWiping
from mesa_env.worlds.world import World

WORLDS: dict[str, type[World]] = {
    kind.__name__: kind for kind in (TableWiping, CrumbVacuuming, TableSetting, CookieElimination)
}
"""Every world by its name."""


def build_world(given: object, **parameters: Any) -> World:
    """The world that a user gave: a world, a class of worlds, a name in `WORLDS`, or a mapping.

    A mapping has the name as its entry `world`, and any of that world's parameters. Further `parameters`,
    such as `deployed`, take the place of the world's own.

    Raises:
        TypeError: If it is something else.
        ValueError: If no world has that name, or it has no such parameter or none of that value.
    """
    if isinstance(given, World):
        _check_names(type(given), parameters)
        return replace(given, **parameters) if parameters else given  # type: ignore[type-var]
    if isinstance(given, type) and issubclass(given, World):
        kind: type[World] = given
    elif isinstance(given, str | Mapping):
        entries = {"world": given} if isinstance(given, str) else dict(given)
        kind = WORLDS[validate_name("world", entries.pop("world", None), WORLDS)]
        parameters = entries | parameters
    else:
        raise TypeError(
            f"world must be one of {', '.join(WORLDS)}, or a mesa_env.worlds.World; got {show(given)}"
        )
    _check_names(kind, parameters)
    return kind(**parameters)


def _check_names(kind: type[World], parameters: Mapping[Any, Any]) -> None:
    """Raise a ValueError for parameters that a class of worlds does not have."""
    known = _parameters(kind)
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"{kind.__name__} has no parameter {show(name)}; it has {', '.join(known) or 'none'}"
                f"{did_you_mean(name, known)}"
            )


def describe_world(world: World) -> str | dict[str, Any] | None:
    """The name of a world, with its parameters where they are not the default; None if it has no name.

    `build_world` inverts it.
    """
    kind = type(world)
    if WORLDS.get(kind.__name__) is not kind:
        return None
    own = {name: getattr(world, name) for name in _parameters(kind)}
    changed = {name: value for name, value in own.items() if value != getattr(kind(), name)}
    return {"world": kind.__name__, **changed} if changed else kind.__name__


def deploy(world: World) -> World:
    """The same world as a deployed model finds it: with its field `deployed` set.

    Raises:
        ValueError: If it has no such field, or it is set already.
    """
    known = _parameters(type(world)) if is_dataclass(world) else ()
    if "deployed" not in known:
        raise ValueError(
            f"{type(world).__name__} does not say what it is once deployed: give it a field deployed, or "
            "the deployed world beside it"
        )
    if getattr(world, "deployed"):  # noqa: B009 (a field that only some worlds have)
        raise ValueError(f"a world to train in must not be deployed; got {show(world)}")
    deployed: World = replace(world, deployed=True)  # type: ignore[type-var]
    return deployed


def _parameters(kind: Any) -> tuple[str, ...]:
    """Names of the parameters of a class of worlds."""
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()

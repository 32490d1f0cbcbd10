"""Worlds by name, and what is set of them."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from mesa_env.validation import did_you_mean, show
from mesa_env.worlds.kitchens import CookieElimination, CrumbVacuuming, Kitchen, TableSetting, TableWiping
from mesa_env.worlds.world import World

WORLDS: dict[str, type[Kitchen]] = {
    kind.__name__: kind for kind in (TableWiping, CrumbVacuuming, TableSetting, CookieElimination)
}
"""The worlds that have names."""


def make_world(world: World | str, **parameters: Any) -> World:
    """Make a world, given by itself or by its name in `WORLDS`, with some of its parameters set.

    Args:
        world: A world, or a name.
        parameters: Fields of the world, such as `deployed`; those not given stay as they are.

    Raises:
        TypeError: If it is neither a world nor a name.
        ValueError: If there is no such world or parameter, or a parameter is out of its range.
    """
    if isinstance(world, str) and world not in WORLDS:
        raise ValueError(
            f"world must be one of {', '.join(WORLDS)}, or a World of one's own; "
            f"got {show(world)}{did_you_mean(world, WORLDS)}"
        )
    if not isinstance(world, str | World):
        raise TypeError(f"world must be a World, or one of {', '.join(WORLDS)}; got {show(world)}")
    made = WORLDS[world]() if isinstance(world, str) else world
    known: list[str] = [field.name for field in fields(made) if field.init] if is_dataclass(made) else []
    for name in parameters:
        if name not in known:
            raise ValueError(
                f"{type(made).__name__} has no parameter {name!r}; it has {', '.join(known) or 'none'}"
                f"{did_you_mean(name, known)}"
            )
    return replace(made, **parameters) if parameters else made  # type: ignore[type-var]


def describe_world(world: World) -> dict[str, Any]:
    """A world's name and parameters in values that JSON has; `make_world(**described)` inverts it.

    Raises:
        ValueError: If the world is not one of `WORLDS`.
    """
    name = type(world).__name__
    if WORLDS.get(name) is not type(world):
        raise ValueError(f"a world must be one of {', '.join(WORLDS)}; got {show(world)}")
    assert isinstance(world, Kitchen)
    return {"world": name} | {field.name: getattr(world, field.name) for field in fields(world)}

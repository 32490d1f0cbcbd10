"""Worlds by name, and what is set of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mesa_env.named import make_named, parameters_of
from mesa_env.validation import show
from mesa_env.worlds.kitchens import CookieElimination, CrumbVacuuming, Kitchen, TableSetting, TableWiping
from mesa_env.worlds.world import World

WORLDS: dict[str, type[Kitchen]] = {
    kind.__name__: kind for kind in (TableWiping, CrumbVacuuming, TableSetting, CookieElimination)
}
"""The worlds that have names."""


GivenWorld = World | type[World] | str | Mapping[str, Any]
"""A world, a class of worlds, a name in `WORLDS`, or a name and parameters as of `describe_world`."""


def make_world(world: GivenWorld, **parameters: Any) -> World:
    """Make a world, given in any form, with some of its parameters set.

    Args:
        world: A world, a class of worlds, a name in `WORLDS`, or a mapping as of `describe_world`.
        parameters: Fields of the world, such as `deployed`; those not given stay as they are.

    Raises:
        TypeError: If it is something else.
        ValueError: If there is no such world or parameter, or a parameter is out of its range.
    """
    return make_named(world, World, WORLDS, **parameters)  # type: ignore[type-abstract]


def deploy(world: World) -> World:
    """The same world as a deployed model finds it: with its field `deployed` set.

    Raises:
        ValueError: If it has no such field, or it is set already.
    """
    if "deployed" not in parameters_of(world):
        raise ValueError(
            f"{type(world).__name__} does not say what it is once deployed: give it a field deployed, or "
            "give the deployed world beside it"
        )
    deployed = make_world(world, deployed=True)
    if deployed == world:
        raise ValueError(f"a world to train in must not be deployed; got {show(world)}")
    return deployed


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

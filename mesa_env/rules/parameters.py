"""Games as plain parameters: what JSON, TOML and the command line hold of a game, and the way back."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from mesa_env.optimizers import Optimizer, describe_optimizer, is_named
from mesa_env.rules import BASE, GAMES
from mesa_env.rules.infinite_horizon import InfiniteHorizon
from mesa_env.rules.rules import Rules
from mesa_env.rules.scalar import train_then_deploy
from mesa_env.validation import did_you_mean, show, validate_name
from mesa_env.worlds.parameters import WORLDS, describe_world
from mesa_env.worlds.world import World

_SCHEDULE = ("train", "deploy", "learning_rate")


def has_plain_form(game: Rules) -> bool:
    """Whether a game is one of `GAMES`, and its worlds and its optimizer, if any, have names."""
    values = [getattr(game, field.name) for field in fields(game)]
    worlds = [value for value in values if isinstance(value, World)]
    optimizers = [value for value in values if isinstance(value, Optimizer)]
    return (
        type(game) in GAMES.values()
        and all(WORLDS.get(type(each).__name__) is type(each) for each in worlds)
        and all(map(is_named, optimizers))
    )


def describe_game(game: Rules) -> dict[str, Any]:
    """A game's `rules`, its name in `GAMES`, then all its parameters by name, in values that JSON has.

    Learning rates and (low, high) pairs are lists. `build_game` inverts it exactly.

    Raises:
        ValueError: If the game is not one of `GAMES`, or its world or its optimizer is of one's own.
    """
    names: dict[type[Rules], str] = {kind: name for name, kind in GAMES.items()}
    if type(game) not in names:
        raise ValueError(f"a game must be one of {', '.join(GAMES)}; got {show(game)}")
    parameters = {field.name: _plain(getattr(game, field.name)) for field in fields(game)}
    return {"rules": names[type(game)]} | parameters


def _plain(value: Any) -> Any:
    """A parameter in values that JSON has."""
    if isinstance(value, Optimizer):
        return describe_optimizer(value)
    return describe_world(value) if isinstance(value, World) else np.asarray(value).tolist()


def build_game(parameters: Mapping[str, Any]) -> Rules:
    """Build a game from `rules`, a name in `GAMES` (else the base game), and any of its parameters.

    Lists stand for (low, high) pairs. `train`, `deploy` and `learning_rate` may replace `learning_rates`: the
    game's default schedule supplies those that are missing.

    Raises:
        ValueError: If there is no such game or parameter, or a parameter is out of its range.
    """
    if not isinstance(parameters, Mapping):
        raise ValueError(f"a game's parameters must be a mapping from their names; got {show(parameters)}")
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items()
    }
    rules = validate_name("rules", given.pop("rules", BASE), GAMES)
    kind = GAMES[rules]
    known = [field.name for field in fields(kind)]
    for name in given:
        if name not in known and name not in _SCHEDULE:
            hint = did_you_mean(name, [*known, *_SCHEDULE]) if isinstance(name, str) else ""
            raise ValueError(f"{rules} has no parameter {show(name)}; it has {', '.join(known)}{hint}")
    schedule = {name: given.pop(name) for name in _SCHEDULE if name in given}
    if schedule and "learning_rates" not in given:
        default = kind()
        endless = isinstance(default, InfiniteHorizon)  # whose last episode is given once
        defaults: dict[str, Any] = {
            "train": int(default.training.sum()),
            "deploy": 1 if endless else int((~default.training).sum()),
            "learning_rate": float(default.learning_rates.max()),
        }
        given["learning_rates"] = train_then_deploy(**defaults | schedule)
    return kind(**given)

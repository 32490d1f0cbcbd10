"""Learning algorithms as functions: each trains on a game for so many turns and returns an agent.

An algorithm of your own is a function like these, given anywhere a name is as "module:function". Its
keyword-only parameters are what can be set from outside. The parameters that ours were tuned to
(scripts/tune.py) are data, in tuned.json.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple

from agents.learning.off_policy import crossq, sac, td3, tqc
from agents.learning.on_policy import a2c, ppo
from mesa_env.agent import Agent

__all__ = [
    "ALGORITHMS",
    "TUNING_SEED",
    "Algorithm",
    "Tuned",
    "a2c",
    "algorithm",
    "checked_parameters",
    "crossq",
    "parameters_of",
    "ppo",
    "sac",
    "td3",
    "tqc",
    "tuned",
]


Algorithm = Callable[..., Agent]
"""`algorithm(game, turns, seed, watch, **parameters)` trains on a game and returns an agent.

game: A (low, high) initial goal asks for an agent that plays from any θ_0 between.
turns: How many decisions it may be paid for.
seed: Of everything random: the same seed must give the same agent.
watch: To be called with the turns so far and the agent as it is, as often as convenient. It measures the
    learning curve when it is time to, by a clock that stands still meanwhile.
parameters: Its own, keyword-only.
"""

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": ppo,
    "a2c": a2c,
    "sac": sac,
    "td3": td3,
    "tqc": tqc,
    "crossq": crossq,
}


TUNING_SEED = 100
"""Parameters are tuned on the seeds from here on; reports use those below."""


class Tuned(NamedTuple):
    """What tuning has found for an algorithm.

    Attributes:
        turns: Decisions that its parameters are meant for; None if it was not tuned.
        parameters: Those that tuning has set.
        study: How it was tuned: game, seeds, trials, budget, and what they came to.
    """

    turns: int | None
    parameters: dict[str, Any]
    study: dict[str, Any]


def algorithm(name: str) -> Algorithm:
    """The algorithm of a name, or "module:function" for one of your own, whose module is imported.

    Raises:
        ValueError: If there is none, or it does not take an algorithm's arguments.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    if ":" not in name:
        raise ValueError(
            f"algorithms are {', '.join(ALGORITHMS)}, or module:function for one of your own; "
            f"got {name!r}{_near(name, ALGORITHMS)}"
        )
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever a module may raise when it is imported
        raise ValueError(f"{name!r} must name a function of a module: {error}") from error
    if not callable(found) or not _takes_an_algorithms_arguments(found):
        raise ValueError(f"{name!r} must be a function of (game, turns, seed, watch, *, ...)")
    return found


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """An algorithm's own parameters, which are keyword-only, and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def checked_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of an algorithm: those given, else as tuned, else its defaults.

    Raises:
        ValueError: If it has no such algorithm or parameter, or one without default is not given.
    """
    own = parameters_of(algorithm(name))
    for parameter in given:
        if parameter not in own:
            raise ValueError(
                f"{parameter!r} is no parameter of {name}, whose are {', '.join(own) or 'none'}"
                f"{_near(parameter, own)}"
            )
    parameters = own | tuned(name).parameters | dict(given)
    for parameter, value in parameters.items():
        if value is inspect.Parameter.empty:
            raise ValueError(f"{name} needs its parameter {parameter!r}")
    return parameters


def tuned(name: str) -> Tuned:
    """What tuning has found for an algorithm; nothing, for one of your own."""
    found = json.loads(resources.files("agents.learning").joinpath("tuned.json").read_text())
    return Tuned(**found[name]) if name in found else Tuned(None, {}, {})


def _takes_an_algorithms_arguments(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind_partial(None, 0, 0, None)
    except (TypeError, ValueError):
        return False
    return True


def _near(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""

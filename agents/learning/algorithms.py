"""Learning algorithms by name: each trains on a game for so many turns and returns an agent.

An algorithm of your own is a function (`Algorithm`), given as "module:function" wherever a name is accepted.
Its keyword-only parameters are what can be set from outside; those of the algorithms here are the fields of
their settings. The parameters that these were tuned to (scripts/tune.py) are data, in tuned.json.

PyTorch is imported when the first training begins.
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.learning.settings import A2CSettings, OffPolicySettings, OnPolicySettings, PPOSettings
from agents.text_files import read_json
from mesa_env.agent import Agent
from mesa_env.rules.rules import Discrete, Rules
from mesa_env.validation import did_you_mean

if TYPE_CHECKING:
    from agents.learning.callbacks import ProgressCallback

Algorithm = Callable[..., Agent]
"""`algorithm(game, turns, seed, watch, **parameters)` trains on a game and returns an agent.

game: A (low, high) initial goal asks for an agent that plays from any θ_0 between.
turns: How many decisions it may be paid for.
seed: Of everything random: the same seed must give the same agent.
watch: To be called with the turns so far and the agent in its present state, as often as convenient. It
    measures the learning curve when a measurement is due, by a clock that excludes the time of measuring.
parameters: Its own, keyword-only.
"""


@dataclass(frozen=True)
class BuiltInAlgorithm:
    """An `Algorithm` whose parameters are the fields of its settings, except `turns`."""

    name: str
    settings: type[OnPolicySettings | OffPolicySettings]
    defaults: dict[str, Any] = field(default_factory=dict)  # where they are not those of the settings

    def __call__(
        self, game: Rules, turns: int, seed: int, watch: ProgressCallback, **parameters: Any
    ) -> Agent:
        """Train in `game`; `Algorithm` says how."""
        self.check_game(game)
        settings = self.settings(turns=turns, **{**self.defaults, **parameters})
        if isinstance(settings, OffPolicySettings):
            from agents.learning.off_policy import train_off_policy

            return train_off_policy(self.name, game, settings, seed, watch)
        from agents.learning.callbacks import CallbackAdapter
        from agents.learning.training import Training

        return Training(game, settings, seed).run([CallbackAdapter(watch)])

    def check_game(self, game: Rules) -> None:
        """Raise a ValueError if the algorithm cannot learn a game with such actions."""
        if issubclass(self.settings, OffPolicySettings) and isinstance(game.actions, Discrete):
            raise ValueError(
                f"{self.name} learns continuous actions, and those of {type(game).__name__} are "
                f"{game.actions.count} choices; ppo and a2c learn these"
            )


ALGORITHMS: dict[str, Algorithm] = {
    algorithm.name: algorithm
    for algorithm in (
        # A sweep's short trainings need more updates than those that PPO's own defaults are for.
        BuiltInAlgorithm("ppo", PPOSettings, {"games": 16}),
        BuiltInAlgorithm("a2c", A2CSettings),
        BuiltInAlgorithm("sac", OffPolicySettings),
        BuiltInAlgorithm("td3", OffPolicySettings, {"first_exploration": 1.0, "last_exploration": 0.1}),
        BuiltInAlgorithm("tqc", OffPolicySettings),
        BuiltInAlgorithm("crossq", OffPolicySettings),
    )
}
"""The algorithms that have names."""

TUNED = Path(__file__).with_name("tuned.json")
"""What tuning has found, as scripts/tune.py writes it."""

_STUDY = {"turns": 0, "game": {}, "trials": 0, "pruned": 0, "seeds": []}
"""Entries of a study that reports show."""

TUNING_SEED = 100
"""First of the seeds that parameters are tuned on; reports use smaller ones."""


class Tuned(NamedTuple):
    """What tuning has found for an algorithm."""

    turns: int | None  # decisions that its parameters are meant for; None if it was not tuned
    parameters: dict[str, Any]
    study: dict[str, Any]  # how it was tuned: game, seeds, trials, budget, and the results


def algorithm(name: str) -> Algorithm:
    """Find an algorithm by its name, or by "module:function" for one of your own; its module is imported.

    Raises:
        ValueError: If there is none, or it does not take the arguments of an algorithm.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    if ":" not in name:
        raise ValueError(
            f"algorithms are {', '.join(ALGORITHMS)}, or module:function for one of your own; "
            f"got {name!r}{did_you_mean(name, ALGORITHMS)}"
        )
    try:
        found: Algorithm = pkgutil.resolve_name(name)
    except (Exception, SystemExit) as error:  # whatever a module may raise when it is imported
        raise ValueError(f"{name!r} must name a function of a module: {error}") from error
    try:
        inspect.signature(found).bind_partial(None, 0, 0, None)
    except (TypeError, ValueError):
        raise ValueError(f"{name!r} must be a function of (game, turns, seed, watch, *, ...)") from None
    return found


def paths_of_module(name: str) -> list[Path]:
    """Where the top-level module of "module:function" lies; found without importing it."""
    module = name.partition(":")[0].partition(".")[0]
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise ValueError(f"{name!r} must name a function of a module; there is no module {module!r}")
    places = [*(spec.submodule_search_locations or ()), *([spec.origin] if spec.has_location else [])]
    return [Path(place).resolve() for place in places if place]


def parameters_of(function: Algorithm) -> dict[str, Any]:
    """An algorithm's own parameters, which are keyword-only in a function, and their defaults."""
    if isinstance(function, BuiltInAlgorithm):
        own: dict[str, Any] = {entry.name: entry.default for entry in fields(function.settings)}
        del own["turns"]
        return own | function.defaults
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def check_parameters(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of an algorithm: as given, else as tuned, else its defaults.

    Raises:
        ValueError: If there is no such algorithm or parameter, or one without a default is not given.
    """
    own = parameters_of(algorithm(name))
    for parameter in given:
        if parameter not in own:
            raise ValueError(
                f"{name} has no parameter {parameter!r}; it has {', '.join(own) or 'none'}"
                f"{did_you_mean(parameter, own)}"
            )
    parameters = own | load_tuned(name).parameters | dict(given)
    for parameter, value in parameters.items():
        if value is inspect.Parameter.empty:
            raise ValueError(f"{name} needs its parameter {parameter!r}")
    return parameters


def check_game(name: str, game: Rules) -> None:
    """Raise a ValueError if an algorithm that has a name cannot learn a game with such actions."""
    found = algorithm(name)
    if isinstance(found, BuiltInAlgorithm):
        found.check_game(game)


def load_tuned(name: str) -> Tuned:
    """What tuning has found for an algorithm; empty for one of your own.

    Raises:
        ValueError: If `TUNED` does not say it as scripts/tune.py does.
    """
    entry = read_json(TUNED, "the tuned parameters").get(name)
    if entry is None:
        return Tuned(None, {}, {})
    entry = _check_entries(f"{name} in {TUNED}", entry, Tuned(0, {}, {})._asdict())
    _check_entries(f"the study of {name} in {TUNED}", entry["study"], _STUDY)
    return Tuned(**entry)


def _check_entries(where: str, given: Any, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Check that a table has entries of the same kinds as those given."""
    for entry, example in kinds.items():
        value = given.get(entry) if isinstance(given, dict) else None
        if type(value) is not type(example):
            raise ValueError(f"{where} must have {entry}, a {type(example).__name__}; got {value!r}")
    result: dict[str, Any] = given
    return result

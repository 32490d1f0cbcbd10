"""Specs that are JSON: Gymnasium notes what an environment was made of, here in plain values.

`gymnasium.make` and `make_vec` hand every environment its spec. Environments here replace a game in it by
its parameters, coefficients by a list, and an enumeration by its value, so that

    gymnasium.make(EnvSpec.from_json(env.spec.to_json()))

plays the same games. A game or a world of a class of one's own and an agent have no plain form: with these, a
spec makes the environment again in the same process, but cannot be written.
"""

from abc import abstractmethod
from dataclasses import fields, replace
from enum import Enum
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from mesa_env.agent import Agent
from mesa_env.optimizers import OPTIMIZERS
from mesa_env.problems import Problem
from mesa_env.rules import GAMES
from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer
from mesa_env.rules.goal_training import GoalTraining
from mesa_env.rules.parameters import describe_game, has_plain_form
from mesa_env.rules.rules import Rules
from mesa_env.worlds import WORLDS, World


class PlainSpec:
    """The aspect of environments whose spec is kept in plain values."""

    _spec: EnvSpec | None = None

    @abstractmethod
    def plain_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments that this environment was made with, in plain values if there are any."""

    @property
    def spec(self) -> EnvSpec | None:
        """What Gymnasium made this environment of; None if it did not."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = None if spec is None else _plain_spec(spec, self.plain_arguments(spec.kwargs))


class ProblemSpec(PlainSpec):
    """A spec of environments of a `problem`."""

    problem: Problem[Any]

    def plain_arguments(self, given: dict[str, Any]) -> dict[str, Any]:
        """What the problem made of its game and successors."""
        made = {
            name: getattr(self.problem, name)
            for name in ("game", "successors")
            if not isinstance(given.get(name), str | None)
        }
        return {name: _plain(value) for name, value in (given | made).items()}


class UnwritableSpec(EnvSpec):
    """A spec of something that has no plain form."""

    def to_json(self) -> str:
        """Refuse, with what JSON can hold instead.

        Raises:
            ValueError: Always.
        """
        if isinstance(self.kwargs.get("successors"), Agent):
            raise ValueError(
                "JSON cannot hold an agent: give successors as coefficients, as 'equilibrium' or as None; "
                f"got {type(self.kwargs['successors']).__name__}"
            )
        what, kinds, given = "game", list(GAMES), self.kwargs.get("game")
        if isinstance(given, GoalTraining):  # whose world has no name
            what, kinds, given = "world", list(WORLDS), given.world
        elif isinstance(given, AdaptiveOptimizer):  # whose optimizer has no name
            what, kinds, given = "optimizer", list(OPTIMIZERS), given.optimizer
        elif "world" in self.kwargs:
            what, kinds, given = "world", list(WORLDS), self.kwargs["world"]
        raise ValueError(
            f"JSON can hold a {what} of the kinds {', '.join(kinds)}; got {type(given).__name__}"
        )


def _plain_spec(spec: EnvSpec, arguments: dict[str, Any]) -> EnvSpec:
    """A copy of a spec with plain arguments, which cannot be written if some are not plain."""
    plain = replace(spec, kwargs=arguments)
    if any(isinstance(value, Rules | Agent | World) for value in arguments.values()):
        return UnwritableSpec(
            **{field.name: getattr(plain, field.name) for field in fields(plain) if field.init}
        )
    return plain


def _plain(value: Any) -> Any:
    """A value as JSON has it; one that JSON does not have is returned as it is."""
    if isinstance(value, Rules):
        return describe_game(value) if has_plain_form(value) else value
    if isinstance(value, Enum):
        return value.value
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

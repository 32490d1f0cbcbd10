"""Grids: which games are to be learned by which algorithms, from which seeds, for how many turns.

A grid is declared in a TOML file:

    algorithms = ["ppo", "my_package.my_module:my_algorithm"]
    seeds = 10                      # 0…9, or a list of them

    [games.short]                   # a label, and parameters as scripts/train.py's --game takes them
    train = 3
    deploy = 5

    [games.Misconception]           # a label that is a game's name needs no `rules`

    [parameters.ppo]                # in place of the tuned ones
    learning_rate = 1e-3

    [turns]                         # in place of the tuned ones; or `turns = …`, the same for all algorithms
    ppo = 100_000

    [turns_of.short]                # the same for one game
    ppo = [10_000, 20_000]

    [seeds_of]                      # in place of the seeds, for one game
    short = 3
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents.benchmark.run import Run
from agents.learning import algorithms
from mesa_env import GAMES, Game
from mesa_env.rules import BASE
from scripts.arguments import GameArguments

LIMIT = 200
"""A sweep that would start more runs must be confirmed."""
_LARGEST_SEED = 2**32 - 1  # NumPy's generators take none that is larger
_INITIAL_GOAL = (-1.0, 1.0)
_LABEL = re.compile(r"\w[\w.+-]*")


@dataclass(frozen=True)
class Grid:
    """A declared grid, whose names and numbers are all checked when its runs are asked for.

    Attributes:
        games: What each label stands for, by the names of `GameArguments`.
        algorithms: Names, or "module:function" for a user's own.
        seeds: A count, or a list.
        turns: Of every run, or by algorithm; None for the algorithms' tuned ones.
        turns_of: The same by game.
        seeds_of: Seeds by game, in place of `seeds`.
        parameters: By algorithm, in place of the tuned ones.
    """

    games: Mapping[str, Any]
    algorithms: list[str]
    seeds: int | list[int]
    turns: Any = None
    turns_of: Mapping[str, Any] = field(default_factory=dict)
    seeds_of: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def narrowed(
        self,
        games: Iterable[str] | None = None,
        algorithms: Iterable[str] | None = None,
        seeds: Iterable[int] | None = None,
        turns: Iterable[int] | None = None,
    ) -> Grid:
        """The grid with other games (its own labels, or names of `GAMES`), algorithms, seeds or turns."""
        changed: dict[str, Any] = {}
        if games is not None:
            changed["games"] = {label: self.game(label) for label in games}
        if algorithms is not None:
            changed["algorithms"] = list(algorithms)
        if seeds is not None:
            changed |= {"seeds": list(seeds), "seeds_of": {}}
        if turns is not None:
            changed |= {"turns": list(turns), "turns_of": {}}
        return dataclasses.replace(self, **changed)

    def runs(self) -> list[Run]:
        """Every run of the grid, one seed after the other, so that each seed has met everything early.

        Raises:
            ValueError: If there is no such game, algorithm or parameter, or a number is out of its range.
        """
        for name in self.algorithms:
            algorithms.algorithm(name)
        for name, given in self.parameters.items():
            algorithms.checked_parameters(name, _table(f"parameters.{name}", given))
        games = {label: _game(label, given) for label, given in self.games.items()}
        seeds = {label: _seeds(self.seeds_of.get(label, self.seeds)) for label in games}
        runs = [
            Run.of(label, game, name, self._parameters(name), turns, seed)
            for seed in dict.fromkeys(itertools.chain(*seeds.values()))
            for label, game in games.items()
            for _ in range(seeds[label].count(seed))
            for name in self.algorithms
            for turns in self._turns(label, name)
        ]
        if not runs:
            raise ValueError(
                "a grid must name at least one game, one algorithm, one seed and one number of turns"
            )
        seen: set[str] = set()
        for run in runs:
            if run.id in seen:
                raise ValueError(f"every run of a grid must be another; {run.id} stands in it twice")
            seen.add(run.id)
        return runs

    def game(self, label: str) -> Any:
        """What is declared of a game: nothing, if the label is the name of a game with its defaults."""
        if label not in self.games and label not in GAMES:
            raise _unknown("game", label, [*self.games, *GAMES])
        return self.games.get(label, {})

    def _parameters(self, algorithm: str) -> dict[str, Any]:
        return algorithms.checked_parameters(algorithm, self.parameters.get(algorithm, {}))

    def _turns(self, label: str, algorithm: str) -> list[int]:
        for where, declared in ((f"turns_of.{label}", self.turns_of.get(label)), ("turns", self.turns)):
            if isinstance(declared, Mapping):
                for name in declared:
                    algorithms.algorithm(name)
                declared = declared.get(algorithm)
            if declared is not None:
                return _whole_numbers(where, declared if isinstance(declared, list) else [declared], low=1)
        tuned = algorithms.tuned(algorithm).turns
        if tuned is None:
            raise ValueError(f"{algorithm} is not tuned, so its turns must be given")
        return [tuned]


def read_grid(path: Path) -> Grid:
    """Read a declared grid.

    Raises:
        ValueError: If there is no such file, or it declares no grid.
    """
    try:
        declared = tomllib.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"a grid must be a TOML file; {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"a grid must be a TOML file; {path} is none: {error}") from error
    entries = [entry.name for entry in dataclasses.fields(Grid)]
    for name in declared:
        if name not in entries:
            raise _unknown("entry of a grid", name, entries)
    for name in ("games", "algorithms", "seeds"):
        if name not in declared:
            raise ValueError(f"a grid must declare its {name}; {path} does not")
    names = declared["algorithms"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"algorithms must be a list of names; got {names!r}")
    for name in ("games", "turns_of", "seeds_of", "parameters"):
        _table(name, declared.get(name, {}))
    grid = Grid(**declared)
    for label in (*grid.turns_of, *grid.seeds_of):
        grid.game(label)
    return grid


def _game(label: str, given: Any) -> Game:
    if not _LABEL.fullmatch(label):
        raise ValueError(f"a game's label must be letters, digits, and . _ + - within; got {label!r}")
    given = dict(_table(f"games.{label}", given))
    valid = [parameter.name for parameter in dataclasses.fields(GameArguments)]
    for name in given:
        if name not in (*valid, "initial_goal"):
            raise _unknown("game parameter", name, [*valid, "initial_goal"])
    rules = given.setdefault("rules", label if label in GAMES else BASE)
    if not isinstance(rules, str) or rules not in GAMES:
        raise _unknown("game", str(rules), GAMES)
    goal = given.pop("initial_goal", _INITIAL_GOAL)
    try:
        return GameArguments(**given).build(tuple(goal) if isinstance(goal, list | tuple) else (goal,))
    except ValueError as error:
        raise ValueError(f"games.{label}: {error}") from error


def _seeds(given: Any) -> list[int]:
    if isinstance(given, list):
        return _whole_numbers("seeds", given, low=0, high=_LARGEST_SEED)
    return list(range(*_whole_numbers("seeds", [given], low=1)))


def _whole_numbers(name: str, given: list[Any], low: int, high: float = float("inf")) -> list[int]:
    for number in given:
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"{name} must be whole numbers from {low} to {high:g}; got {number!r}")
    return given


def _table(name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a table of a TOML file; got {given!r}")
    return given


def _unknown(kind: str, given: str, valid: Iterable[str]) -> ValueError:
    """The refusal of a name, with the valid names nearest to it; with all of them where none is near."""
    valid = list(valid)
    near = difflib.get_close_matches(given, valid, cutoff=0.5)
    names = f"nearest to it: {', '.join(near)}" if near else f"there are {', '.join(valid)}"
    return ValueError(f"there is no {kind} {given!r}; {names}")

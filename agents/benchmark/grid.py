"""Grids: which algorithms learn which games, from which seeds, for how many turns.

A grid is declared in a TOML file:

    algorithms = ["ppo", "my_package.my_module:my_algorithm"]
    seeds = 10                      # 0…9, or a list of seeds

    [games.short]                   # a label, then parameters as `mesa_env.rules.parameters` takes them
    train = 3
    deploy = 5

    [games.Misconception]           # a label that is the name of a game needs no `rules`

    [parameters.ppo]                # override the tuned parameters
    learning_rate = 1e-3

    [turns]                         # override the tuned turns; or `turns = …` for all algorithms
    ppo = 100_000

    [turns_of.short]                # the same for one game
    ppo = [10_000, 20_000]

    [seeds_of]                      # override the seeds of one game
    short = 3
"""

import dataclasses
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from agents.benchmark.run import Run
from agents.learning import algorithms
from agents.limits import LARGEST_SEED, MOST_RUNS, MOST_TURNS, build_bounded_game
from agents.text_files import read_toml
from mesa_env import GAMES
from mesa_env.rules import BASE, SCALAR_GAMES
from mesa_env.rules.rules import Rules
from mesa_env.validation import did_you_mean, validate_whole

_INITIAL_GOAL = (-1.0, 1.0)
_LABEL = re.compile(r"\w[\w.+-]{0,99}")
_Given = Iterable[Any] | None


@dataclass(frozen=True)
class Grid:
    """A declared grid, entry by entry as in its file; `runs` validates all its names and numbers."""

    games: Mapping[str, Any]
    algorithms: list[str]
    seeds: int | list[int]
    turns: Any = None
    """Turns of every run, or turns by algorithm; None for the algorithms' tuned turns."""
    turns_of: Mapping[str, Any] = field(default_factory=dict)
    seeds_of: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def narrow(
        self, games: _Given = None, algorithms: _Given = None, seeds: _Given = None, turns: _Given = None
    ) -> Self:
        """The grid with other games (its own labels, or names in `GAMES`), algorithms, seeds or turns."""
        lists = {"algorithms": algorithms, "seeds": seeds, "turns": turns}
        changes: dict[str, Any] = {name: list(given) for name, given in lists.items() if given is not None}
        changes |= {f"{name}_of": {} for name in ("seeds", "turns") if name in changes}
        if games is not None:
            changes["games"] = {label: self.game(label) for label in games}
        return dataclasses.replace(self, **changes)

    def runs(self) -> list[Run]:
        """Every run of the grid, seed by seed, so that the first seed meets every game and algorithm early.

        Raises:
            ValueError: If a game, algorithm or parameter does not exist, or a number is out of its range.
        """
        if twice := [name for name, count in Counter(self.algorithms).items() if count > 1]:
            raise ValueError(f"all algorithms of a grid must differ; {twice[0]!r} comes twice")
        parameters = {}
        for name in (*self.algorithms, *self.parameters):
            given = _table(f"parameters.{name}", self.parameters.get(name, {}))
            parameters[name] = algorithms.check_parameters(name, given)
        games = {label: _game(label, given) for label, given in self.games.items()}
        for game, name in itertools.product(games.values(), self.algorithms):
            algorithms.check_game(name, game)
        seeds = {label: _seeds(self.seeds_of.get(label, self.seeds)) for label in games}
        turns_of = {(label, name): self._turns(label, name) for label in games for name in self.algorithms}
        count = sum(len(seeds[label]) * len(turns) for (label, _), turns in turns_of.items())
        if count > MOST_RUNS:
            raise ValueError(f"a grid must have at most {MOST_RUNS} runs; it has {count}")
        first = {
            (label, name): Run.of(label, game, name, parameters[name], turns=1, seed=0)
            for label, game in games.items()
            for name in self.algorithms
        }
        runs = [
            dataclasses.replace(first[label, name], turns=turns, seed=seed)
            for label in games
            for seed in seeds[label]
            for name in self.algorithms
            for turns in turns_of[label, name]
        ]
        if not runs:
            raise ValueError(
                "a grid must name at least one game, one algorithm, one seed and one number of turns"
            )
        ((most_common, count),) = Counter(run.id for run in runs).most_common(1)
        if count > 1:
            raise ValueError(f"all runs of a grid must differ; {most_common} appears {count} times")
        distinct = dict.fromkeys(itertools.chain(*seeds.values()))
        order = {seed: place for place, seed in enumerate(distinct)}
        return sorted(runs, key=lambda run: order[run.seed])

    def game(self, label: str) -> Any:
        """The declared parameters of a game; none if the label is the name of a game with its defaults."""
        if label not in self.games and label not in GAMES:
            raise _unknown("game", label, [*self.games, *GAMES])
        return self.games.get(label, {})

    def _turns(self, label: str, algorithm: str) -> list[int]:
        for entry, declared in ((f"turns_of.{label}", self.turns_of.get(label)), ("turns", self.turns)):
            if isinstance(declared, Mapping):
                for name in declared:
                    algorithms.algorithm(name)
                declared = declared.get(algorithm)
            if declared is not None:
                numbers = declared if isinstance(declared, list) else [declared]
                return [validate_whole(entry, number, 1, MOST_TURNS) for number in numbers]
        tuned = algorithms.load_tuned(algorithm).turns
        if tuned is None:
            raise ValueError(f"{algorithm} is not tuned, so its turns must be given")
        return [tuned]


def read_grid(path: Path) -> Grid:
    """Read a declared grid; raises ValueError if the file does not hold one."""
    declared = read_toml(path, "a grid")
    entries = [entry.name for entry in dataclasses.fields(Grid)]
    for name in declared:
        if name not in entries:
            raise _unknown("entry of a grid", name, entries)
    if missing := next((name for name in ("games", "algorithms", "seeds") if name not in declared), None):
        raise ValueError(f"a grid must declare its {missing}; {path} does not")
    names = declared["algorithms"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"algorithms must be a list of names; got {names!r}")
    for name in ("games", "turns_of", "seeds_of", "parameters"):
        _table(name, declared.get(name, {}))
    grid = Grid(**declared)
    for label in (*grid.turns_of, *grid.seeds_of):
        grid.game(label)
    return grid


def check_label(label: str) -> None:
    """Refuse a game's label that cannot be part of a file's name."""
    if not _LABEL.fullmatch(label):
        raise ValueError(
            "a game's label must be at most 100 letters, digits and _, and after the first also . + -; "
            f"got {label!r}"
        )
    try:
        os.fsencode(label)
    except UnicodeEncodeError as error:
        raise ValueError(f"a game's label must be one that files here may have: {error}") from error


def _game(label: str, given: Any) -> Rules:
    check_label(label)
    parameters = {"rules": label if label in GAMES else BASE, **_table(f"games.{label}", given)}
    if parameters["rules"] in list(SCALAR_GAMES):  # of which any value may be asked
        parameters.setdefault("initial_goal", _INITIAL_GOAL)
    try:
        return build_bounded_game(parameters)
    except ValueError as error:
        raise ValueError(f"games.{label}: {error}") from error


def _seeds(given: Any) -> list[int]:
    if not isinstance(given, list):
        return list(range(validate_whole("seeds", given, 1, MOST_RUNS)))
    return [validate_whole("seeds", seed, 0, LARGEST_SEED) for seed in given]


def _table(name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{name} must be a table of a TOML file; got {given!r}")
    return given


def _unknown(kind: str, given: str, known: list[str]) -> ValueError:
    return ValueError(
        f"there is no {kind} {given!r}; there are {', '.join(known)}{did_you_mean(given, known)}"
    )

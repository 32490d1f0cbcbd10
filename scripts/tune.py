"""Tune an algorithm's parameters on one game with optuna, on seeds that no report uses.

Every trial trains from each of the tuning seeds (100, 101, …) in turn, and is pruned after the first one if
the median trial was better by then. A study minimizes the mean logarithm of NashConv. Its first trial has the
parameters that the algorithm has now. An interrupted study continues where it stopped, with --resume. A trial
whose runs all fail has failed; if no other is left, the command says why and its exit code is 1.

With --ship TURNS, OUT/tuned.json is the table of all algorithms' tuned parameters with the best ones in it,
to be copied to agents/learning/tuned.json, from which sweeps take their parameters.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agents.limits import MOST_TURNS
from mesa_env.rules import Rules
from mesa_env.validation import validate_name, validate_whole
from scripts.arguments import refusing_bad_input, run_command
from scripts.game_arguments import GameArguments

if TYPE_CHECKING:
    import optuna

    from agents.benchmark.run_folder import RunFolder

_FILES = _JOURNAL, *_ = "study.log", "trials.csv", "best.json", "tuned.json"


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.tune."""

    algorithm: str
    """What to tune: ppo, a2c, sac, td3, tqc or crossq."""
    turns: int
    """Decisions of every run; at most 10 000 000 000."""
    trials: int = 20
    """Sets of parameters to try, the present ones among them; at most 10 000."""
    seeds: int = 2
    """Runs per trial, from the seeds 100, 101, …; at most 1000."""
    game: GameArguments = field(default_factory=GameArguments)
    out: Path = Path("runs/tune")
    """Run folder."""
    resume: bool = False
    """Continue the folder's study, up to as many trials in all."""
    ship: int | None = None
    """Also write OUT/tuned.json with the best parameters, for runs of this many turns."""


def main(arguments: Arguments) -> None:
    """Tune, print the trials, and write them down."""
    from agents.benchmark import tuning
    from agents.benchmark.run_folder import RunFolder, check_arguments

    with refusing_bad_input():
        game = _check(arguments)
        folder = RunFolder(arguments.out, "tune", arguments.resume, _FILES, unused=(f"{_JOURNAL}.lock",))

    def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        folder.table("trials.csv", study.trials_dataframe())
        given = trial.user_attrs
        result = f"failed, {given['reason']}" if "reason" in given else f"NashConv {given['nash_conv']}"
        print(f"trial {trial.number}: {result}, {trial.params}", flush=True)

    with folder:
        with refusing_bad_input():
            if arguments.resume:
                check_arguments(arguments, free=("out", "resume", "trials", "ship"))
            folder.record(arguments, game)
            study = tuning.open_study(folder.growing(_JOURNAL), arguments.algorithm)
        tuning.run_study(study, game, arguments.turns, arguments.trials, arguments.seeds, report)
        if reason := tuning.reason_of_failure(study):
            print(f"error: no trial was completed: {reason}", file=sys.stderr)
            sys.exit(1)
        _write_best(folder, arguments, study)


def _write_best(folder: RunFolder, arguments: Arguments, study: optuna.Study) -> None:
    """Write and show the best parameters."""
    from agents.benchmark import tables, tuning
    from agents.learning import algorithms

    algorithm, states = arguments.algorithm, [trial.state.name for trial in study.trials]
    best = {
        "turns": arguments.ship or arguments.turns,
        "parameters": algorithms.load_tuned(algorithm).parameters | study.best_trial.params,
        "study": {
            "turns": arguments.turns,
            "game": arguments.game.given(),
            "trials": states.count("COMPLETE") + states.count("PRUNED"),
            "pruned": states.count("PRUNED"),
            "seeds": [algorithms.TUNING_SEED + number for number in range(arguments.seeds)],
            "nash_conv": study.best_trial.user_attrs["nash_conv"],
        },
    }
    folder.json("best.json", best)
    trials = study.trials_dataframe(attrs=("number", "value", "state")).sort_values("value")
    tables.show(trials.head(5), f"the best trials of {algorithm}")
    if arguments.ship is not None:
        folder.json("tuned.json", tuning.merge_tuned(algorithm, best))
        print(f"to use the best parameters: cp {arguments.out / 'tuned.json'} agents/learning/tuned.json")


def _check(arguments: Arguments) -> Rules:
    """The game; refuses an algorithm that cannot be tuned on it, and numbers out of range."""
    from agents.learning.algorithms import ALGORITHMS, check_game

    name = validate_name("algorithm", arguments.algorithm, ALGORITHMS)
    for count, most in {"turns": MOST_TURNS, "trials": 10_000, "seeds": 1000, "ship": MOST_TURNS}.items():
        if (number := getattr(arguments, count)) is not None:
            validate_whole(count, number, 1, most)
    check_game(name, game := arguments.game.build(None))
    return game


if __name__ == "__main__":
    run_command(main, Arguments)

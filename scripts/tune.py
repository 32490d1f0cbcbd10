"""Tune an algorithm's parameters on one game with optuna, on seeds that no report uses.

Every trial trains from each of the tuning seeds (100, 101, …) in turn, and is given up after the first one if
the median trial was better by then. What is minimized is the mean logarithm of NashConv. The first trial is
the parameters that the algorithm has now. An interrupted study goes on where it stopped, with --resume.

With --ship TURNS, the best parameters, and how they were found, are written to agents/learning/tuned.json,
which is where every sweep finds them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

import agents
from agents.atomic_files import write_atomically
from agents.benchmark import tables
from agents.benchmark.run import Run, execute
from agents.benchmark.run_folder import RunFolder
from agents.learning import algorithms
from agents.learning.algorithms import TUNING_SEED
from scripts.arguments import GameArguments, check_arguments, refusing_bad_input, run_command

_TUNED = Path(agents.__file__).parent / "learning" / "tuned.json"
_WORST = 1e6  # what a failed or wild run is taken for
_STARTUP = 3  # trials before any is given up, or chosen by what came before

Space = Callable[[Trial], dict[str, Any]]


def _of_ppo(trial: Trial) -> dict[str, Any]:
    return {
        "games": trial.suggest_categorical("games", [8, 16, 32]),
        "epochs": trial.suggest_int("epochs", 3, 8),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "clip_range": trial.suggest_float("clip_range", 0.1, 0.4),
        "first_noise": trial.suggest_float("first_noise", 0.1, 0.6, log=True),
        "last_noise": trial.suggest_float("last_noise", 0.003, 0.03, log=True),
    }


def _of_a2c(trial: Trial) -> dict[str, Any]:
    return {
        "games": trial.suggest_categorical("games", [8, 16, 32]),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        "first_noise": trial.suggest_float("first_noise", 0.1, 0.6, log=True),
        "last_noise": trial.suggest_float("last_noise", 0.003, 0.03, log=True),
    }


def _of_off_policy(least: float, largest: float) -> Space:
    def space(trial: Trial) -> dict[str, Any]:
        return {
            "buffer_size": trial.suggest_categorical("buffer_size", [2560, 5120, 10240]),
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            "first_exploration": trial.suggest_float("first_exploration", 0.1, 1.0, log=True),
            "last_exploration": trial.suggest_float("last_exploration", least, largest, log=True),
            "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
            "action_resolution": trial.suggest_float("action_resolution", 2.0, 4.5),
            "log_beyond": trial.suggest_float("log_beyond", 0.03, 0.5, log=True),
        }

    return space


SPACES: dict[str, Space] = {
    "ppo": _of_ppo,
    "a2c": _of_a2c,
    "sac": _of_off_policy(0.001, 0.03),
    "td3": _of_off_policy(0.02, 0.4),
    "tqc": _of_off_policy(0.001, 0.03),
    "crossq": _of_off_policy(0.001, 0.03),
}


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts/tune.py."""

    algorithm: str
    """What to tune: ppo, a2c, sac, td3, tqc or crossq."""
    turns: int
    """Decisions of every run."""
    trials: int = 20
    """Sets of parameters to try, the present ones among them."""
    seeds: int = 2
    """Runs of each, from the seeds 100, 101, …"""
    game: GameArguments = field(default_factory=GameArguments)
    out: Path = Path("runs/tune")
    """Run folder."""
    resume: bool = False
    """Go on with the folder's study, up to so many trials in all."""
    ship: int | None = None
    """Write what is best to agents/learning/tuned.json, for runs of so many turns."""


def main(arguments: Arguments) -> None:
    """Tune, print the trials, and write them down."""
    with refusing_bad_input():
        _check(arguments)
        game = arguments.game.build((-1.0, 1.0))
        folder = RunFolder(arguments.out)
        folder.record("tune", arguments, game)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=arguments.algorithm,
        storage=JournalStorage(JournalFileBackend(str(arguments.out / "study.log"))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        load_if_exists=True,
    )
    over = [trial for trial in study.trials if trial.state.is_finished()]
    study.sampler = optuna.samplers.TPESampler(seed=len(over), n_startup_trials=_STARTUP, multivariate=True)
    present = algorithms.checked_parameters(arguments.algorithm, {})
    if not over:
        study.enqueue_trial(present)

    def objective(trial: Trial) -> float:
        parameters = present | SPACES[arguments.algorithm](trial)
        logarithms: list[float] = []
        for number in range(arguments.seeds):
            seed = TUNING_SEED + number
            run = Run.of("tuning", game, arguments.algorithm, parameters, arguments.turns, seed)
            row = execute(run).row
            reached = row["nash_conv"] if row["status"] == "finished" else math.inf
            logarithms.append(math.log10(min(reached, _WORST)) if reached == reached else math.log10(_WORST))
            trial.report(sum(logarithms) / len(logarithms), number)
            trial.set_user_attr("nash_conv", [10**logarithm for logarithm in logarithms])
            if number + 1 < arguments.seeds and trial.should_prune():
                raise optuna.TrialPruned
        return sum(logarithms) / len(logarithms)

    def told(study: optuna.Study, trial: FrozenTrial) -> None:
        print(f"trial {trial.number}: NashConv {trial.user_attrs['nash_conv']}, {trial.params}", flush=True)
        folder.table("trials.csv", study.trials_dataframe())

    study.optimize(objective, n_trials=arguments.trials - len(over), callbacks=[told])
    best = {
        "turns": arguments.ship or arguments.turns,
        "parameters": algorithms.tuned(arguments.algorithm).parameters | study.best_trial.params,
        "study": {
            "turns": arguments.turns,
            "game": {name: value for name, value in asdict(arguments.game).items() if value is not None},
            "trials": len(study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED])),
            "given_up": len(study.get_trials(states=[TrialState.PRUNED])),
            "seeds": [TUNING_SEED + number for number in range(arguments.seeds)],
            "nash_conv": study.best_trial.user_attrs["nash_conv"],
        },
    }
    folder.json("best.json", best)
    trials = study.trials_dataframe(attrs=("number", "value", "state"))
    tables.show(trials.sort_values("value").head(5), f"the best trials of {arguments.algorithm}")
    if arguments.ship is not None:
        ship(arguments.algorithm, best)


def _check(arguments: Arguments) -> None:
    """Refuse what cannot be tuned, and another study's folder."""
    if arguments.algorithm not in SPACES:
        raise ValueError(f"what can be tuned is {', '.join(SPACES)}; got {arguments.algorithm!r}")
    for name in ("turns", "trials", "seeds", "ship"):
        number = getattr(arguments, name)
        if number is not None and number < 1:
            raise ValueError(f"{name} must be a whole number ≥ 1; got {number}")
    if (arguments.out / "study.log").exists() and not arguments.resume:
        raise ValueError(
            f"{arguments.out} already holds a study: add --resume to go on with it, or name another --out"
        )
    if (arguments.out / "study.log").exists():
        check_arguments(arguments, free=("out", "resume", "trials", "ship"))


def ship(algorithm: str, best: dict[str, Any]) -> None:
    """Write what tuning has found where sweeps find it."""
    shipped = json.loads(_TUNED.read_text()) | {algorithm: best}
    ordered = {name: shipped[name] for name in algorithms.ALGORITHMS if name in shipped}
    write_atomically(_TUNED, (json.dumps(ordered, indent=2) + "\n").encode())


if __name__ == "__main__":
    run_command(main, Arguments)

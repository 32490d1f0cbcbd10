"""Studies that tune an algorithm's parameters on one game with optuna.

Every trial trains from each of the tuning seeds in turn, and is pruned after any but the last if the median
trial was better by then. A study minimizes the mean of log10 NashConv; its first trial has the parameters
that the algorithm has now. Its journal is a file, from which it can be resumed.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial

from agents.benchmark.run import Run, execute
from agents.learning import algorithms
from agents.learning.algorithms import ALGORITHMS, TUNING_SEED
from mesa_env.rules.scalar import ScalarGame

_WORST = 1e6  # the NashConv that a failed run counts as, and the largest that any run counts as
_STARTUP = 3  # trials before pruning starts, and before trials are chosen by what came before

_GAMES = {"games": [8, 16, 32]}
_NOISE = {"first_noise": ("log", 0.1, 0.6), "last_noise": ("log", 0.003, 0.03)}
_OFF_POLICY = {
    "buffer_size": [2560, 5120, 10240],
    "learning_rate": ("log", 5e-4, 3e-3),
    "first_exploration": ("log", 0.1, 1.0),
    "last_exploration": ("log", 0.001, 0.03),
    "activation": ["relu", "tanh"],
    "action_resolution": ("linear", 2.0, 4.5),
    "log_beyond": ("log", 0.03, 0.5),
}
_PPO = {"epochs": ("whole", 3, 8), "learning_rate": ("log", 3e-4, 5e-3), "clip_range": ("linear", 0.1, 0.4)}

SPACES: dict[str, dict[str, Any]] = {
    "ppo": _GAMES | _PPO | _NOISE,
    "a2c": _GAMES | {"learning_rate": ("log", 5e-4, 1e-2)} | _NOISE,
    "sac": _OFF_POLICY,
    "td3": _OFF_POLICY | {"last_exploration": ("log", 0.02, 0.4)},
    "tqc": _OFF_POLICY,
    "crossq": _OFF_POLICY,
}
"""What a trial may choose, by algorithm and parameter: one of a list, or a number between two on a scale."""


Report = Callable[[optuna.Study, FrozenTrial], None]
"""Called with the study after each trial."""


def suggest(trial: Trial, algorithm: str) -> dict[str, Any]:
    """The parameters that a trial chooses from its algorithm's space."""
    chosen: dict[str, Any] = {}
    for name, choices in SPACES[algorithm].items():
        if isinstance(choices, list):
            chosen[name] = trial.suggest_categorical(name, choices)
        elif choices[0] == "whole":
            chosen[name] = trial.suggest_int(name, *choices[1:])
        else:
            chosen[name] = trial.suggest_float(name, *choices[1:], log=choices[0] == "log")
    return chosen


def run_study(
    journal: Path, algorithm: str, game: ScalarGame, turns: int, trials: int, seeds: int, report: Report
) -> optuna.Study:
    """Run a study of so many trials, or resume it: `trials` includes those of earlier calls.

    Every trial is `seeds` runs of `turns` decisions.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=algorithm,
        storage=JournalStorage(JournalFileBackend(str(journal))),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        load_if_exists=True,
    )
    ended = sum(trial.state.is_finished() for trial in study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=ended, n_startup_trials=_STARTUP, multivariate=True)
    present = algorithms.checked_parameters(algorithm, {})
    if not ended:
        study.enqueue_trial(present)

    def objective(trial: Trial) -> float:
        parameters = present | suggest(trial, algorithm)
        logarithms: list[float] = []
        for number in range(seeds):
            run = Run.of("tuning", game, algorithm, parameters, turns, TUNING_SEED + number)
            logarithms.append(_log_nash_conv(execute(run).row))
            mean = sum(logarithms) / len(logarithms)
            trial.report(mean, number)
            trial.set_user_attr("nash_conv", [10**logarithm for logarithm in logarithms])
            if number + 1 < seeds and trial.should_prune():
                raise optuna.TrialPruned
        return mean

    study.optimize(objective, n_trials=trials - ended, callbacks=[report])
    return study


def merge_tuned(algorithm: str, best: Mapping[str, Any]) -> dict[str, Any]:
    """The content of agents/learning/tuned.json with an algorithm's entry replaced by `best`."""
    table = {name: algorithms.tuned(name)._asdict() for name in ALGORITHMS} | {algorithm: dict(best)}
    return {name: table[name] for name in ALGORITHMS if table[name]["turns"] is not None}


def _log_nash_conv(row: Mapping[str, Any]) -> float:
    measured = row["status"] == "finished" and not math.isnan(row["nash_conv"])
    return math.log10(min(row["nash_conv"], _WORST) if measured else _WORST)

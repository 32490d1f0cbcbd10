"""Studies that tune an algorithm's parameters on one game with optuna.

Every trial trains from each of the tuning seeds in turn, and is pruned after any but the last if the median
trial was better by then. A study minimizes the mean of log10 NashConv; its first trial has the parameters
that the algorithm has now. Its journal is a file, from which it can be resumed.
"""

from __future__ import annotations

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

Space = Callable[[Trial], dict[str, Any]]


def _suggest_noise(trial: Trial) -> dict[str, Any]:
    return {
        "first_noise": trial.suggest_float("first_noise", 0.1, 0.6, log=True),
        "last_noise": trial.suggest_float("last_noise", 0.003, 0.03, log=True),
    }


def _suggest_ppo(trial: Trial) -> dict[str, Any]:
    return {
        "games": trial.suggest_categorical("games", [8, 16, 32]),
        "epochs": trial.suggest_int("epochs", 3, 8),
        "learning_rate": trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True),
        "clip_range": trial.suggest_float("clip_range", 0.1, 0.4),
        **_suggest_noise(trial),
    }


def _suggest_a2c(trial: Trial) -> dict[str, Any]:
    return {
        "games": trial.suggest_categorical("games", [8, 16, 32]),
        "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
        **_suggest_noise(trial),
    }


def _off_policy(least: float, largest: float) -> Space:
    """The space of an off-policy algorithm whose last exploration lies in [least, largest]."""

    def suggest(trial: Trial) -> dict[str, Any]:
        return {
            "buffer_size": trial.suggest_categorical("buffer_size", [2560, 5120, 10240]),
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 3e-3, log=True),
            "first_exploration": trial.suggest_float("first_exploration", 0.1, 1.0, log=True),
            "last_exploration": trial.suggest_float("last_exploration", least, largest, log=True),
            "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
            "action_resolution": trial.suggest_float("action_resolution", 2.0, 4.5),
            "log_beyond": trial.suggest_float("log_beyond", 0.03, 0.5, log=True),
        }

    return suggest


SPACES: dict[str, Space] = {
    "ppo": _suggest_ppo,
    "a2c": _suggest_a2c,
    "sac": _off_policy(0.001, 0.03),
    "td3": _off_policy(0.02, 0.4),
    "tqc": _off_policy(0.001, 0.03),
    "crossq": _off_policy(0.001, 0.03),
}
"""What a trial may choose, by algorithm."""


def tune(
    journal: Path,
    algorithm: str,
    game: ScalarGame,
    turns: int,
    trials: int,
    seeds: int,
    report: Callable[[optuna.Study, FrozenTrial], None],
) -> optuna.Study:
    """Run a study of so many trials, or resume it: `trials` includes those of earlier calls.

    Every trial is `seeds` runs of `turns` decisions. `report` is called with the study after each trial.
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
        parameters = present | SPACES[algorithm](trial)
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
    if row["status"] != "finished" or math.isnan(row["nash_conv"]):
        return math.log10(_WORST)
    return math.log10(min(row["nash_conv"], _WORST))

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
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, Trial, TrialState

from agents.atomic_files import name_in_errors, write_atomically
from agents.benchmark.run import Run, execute
from agents.benchmark.summaries import last_line
from agents.learning import algorithms
from agents.learning.algorithms import ALGORITHMS, TUNING_SEED
from mesa_env.rules.rules import Rules

_WORST = 1e6  # the NashConv that a failed run counts as, and the largest that any run counts as
_BEST = 1e-9  # the least: games of choices reach 0
_STARTUP = 3  # trials before pruning starts, and before trials are chosen by what came before

_ENTRY = b'{"op_code":'
"""How every line of a journal begins."""

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


def open_study(journal: Path, algorithm: str) -> optuna.Study:
    """The study that a journal holds, or a new one; what a killed process wrote half of is dropped.

    Only one process at a time may have it open.

    Raises:
        ValueError: If the journal is damaged.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # failed trials are reported without a traceback
    try:
        _drop_half_line(journal)
        return optuna.create_study(
            study_name=algorithm,
            storage=JournalStorage(_Journal(str(journal), _Unlocked(str(journal)))),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
            load_if_exists=True,
        )
    except Exception as error:  # whatever a damaged journal makes optuna raise
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{journal} must be the journal of a study; it cannot be read: {reason}") from error


def run_study(study: optuna.Study, game: Rules, turns: int, trials: int, seeds: int, report: Report) -> None:
    """Run a study up to so many trials, which include those of earlier calls.

    Every trial is `seeds` runs of `turns` decisions. A trial whose runs all failed has failed, and its
    attribute "reason" says why.
    """
    algorithm = study.study_name
    ended = sum(trial.state.is_finished() for trial in study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=ended, n_startup_trials=_STARTUP, multivariate=True)
    present = algorithms.check_parameters(algorithm, {})
    if not ended:
        study.enqueue_trial(present)

    def objective(trial: Trial) -> float:
        parameters = present | suggest(trial, algorithm)
        logarithms: list[float] = []
        reasons: list[str] = []
        for number in range(seeds):
            run = Run.of("tuning", game, algorithm, parameters, turns, TUNING_SEED + number)
            row = execute(run).row
            if row["status"] == "failed":
                reasons.append(last_line(row["traceback"]))
            logarithms.append(_log_nash_conv(row))
            mean = sum(logarithms) / len(logarithms)
            trial.report(mean, number)
            trial.set_user_attr("nash_conv", [10**logarithm for logarithm in logarithms])
            all_failed = len(reasons) == len(logarithms)
            if number + 1 < seeds and not all_failed and trial.should_prune():
                raise optuna.TrialPruned
        if all_failed:
            trial.set_user_attr("reason", reasons[0])
            raise _FailedError
        return mean

    study.optimize(objective, n_trials=trials - ended, callbacks=[report], catch=_FailedError)


def reason_of_failure(study: optuna.Study) -> str | None:
    """Why the first trial failed, if no trial of the study was completed; else None."""
    if any(trial.state is TrialState.COMPLETE for trial in study.trials):
        return None
    reasons = (trial.user_attrs["reason"] for trial in study.trials if "reason" in trial.user_attrs)
    return next(reasons, "no trial has ended")


class _FailedError(Exception):
    """All runs of a trial have failed."""


class _Journal(JournalFileBackend):
    """A journal that errors name, such as of a full disk."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write entries at its end."""
        with name_in_errors(Path(self._file_path)):
            super().append_logs(logs)


class _Unlocked(JournalFileOpenLock):
    """No lock: the run folder's keeps other processes out, and no killed process leaves it behind."""

    def acquire(self) -> bool:
        """Nothing to wait for."""
        return True

    def release(self) -> None:
        """Nothing to release."""


def _drop_half_line(journal: Path) -> None:
    content = journal.read_bytes() if journal.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    half = content[len(whole) :]
    if not half.startswith(_ENTRY[: len(half)]):
        raise ValueError("it does not end in an entry")
    if half:
        write_atomically(journal, whole)


def merge_tuned(algorithm: str, best: Mapping[str, Any]) -> dict[str, Any]:
    """The content of agents/learning/tuned.json with an algorithm's entry replaced by `best`."""
    table = {name: algorithms.load_tuned(name)._asdict() for name in ALGORITHMS} | {algorithm: dict(best)}
    return {name: table[name] for name in ALGORITHMS if table[name]["turns"] is not None}


def _log_nash_conv(row: Mapping[str, Any]) -> float:
    measured = row["status"] == "finished" and not math.isnan(row["nash_conv"])
    return math.log10(min(max(row["nash_conv"], _BEST), _WORST) if measured else _WORST)

"""Tuning: every algorithm has a space, and studies are run, resumed and merged into the table."""

import math

import pytest

from agents.benchmark import tuning
from agents.benchmark.run import Result
from agents.benchmark.tuning import SPACES, merge_tuned, run_study, suggest
from agents.learning import algorithms
from mesa_env import Game, train_then_deploy

GAME = Game(train_then_deploy(1, 2), initial_goal=(-1.0, 1.0))


@pytest.fixture
def executed(monkeypatch):
    """Gives coming runs a NashConv each (None: they fail) instead of executing them; returns these runs."""

    def score(*nash_convs):
        runs = []

        def execute(run):
            nash_conv = nash_convs[len(runs)]
            runs.append(run)
            status = "failed" if nash_conv is None else "finished"
            return Result({"status": status, "nash_conv": nash_conv}, {})

        monkeypatch.setattr(tuning, "execute", execute)
        return runs

    return score


def test_every_algorithm_has_a_space_of_its_own_parameters():
    class Suggestions:
        def __getattr__(self, kind):
            return lambda name, *rest, **more: name

    assert list(SPACES) == list(algorithms.ALGORITHMS)
    for name, space in SPACES.items():
        chosen = suggest(Suggestions(), name)
        assert set(chosen) == set(space)
        assert set(chosen) <= set(algorithms.parameters_of(algorithms.algorithm(name)))


def test_a_study_minimizes_the_mean_logarithm_over_the_tuning_seeds(tmp_path, executed):
    runs = executed(10.0, 0.1, 1.0, 0.01, 1e-3, 1e-5)
    study = run_study(tmp_path / "study.log", "ppo", GAME, 100, trials=3, seeds=2, report=lambda *_: None)
    assert [trial.value for trial in study.trials] == pytest.approx([0, -1, -4])
    assert [run.seed for run in runs] == [100, 101] * 3
    assert {run.turns for run in runs} == {100}
    present = algorithms.checked_parameters("ppo", {})
    assert runs[0].parameters == present
    assert study.best_trial.user_attrs["nash_conv"] == pytest.approx([1e-3, 1e-5])


@pytest.mark.parametrize("nash_conv", [None, math.nan, math.inf, 1e9])
def test_failed_and_diverged_runs_count_as_the_worst(tmp_path, executed, nash_conv):
    executed(nash_conv)
    study = run_study(tmp_path / "study.log", "sac", GAME, 100, trials=1, seeds=1, report=lambda *_: None)
    assert study.best_value == 6.0


def test_a_study_is_resumed_up_to_as_many_trials_in_all(tmp_path, executed):
    reported = []

    def report(_, trial):
        reported.append(trial.number)

    for trials, scores in ((2, (1.0, 0.1)), (3, (0.01,))):
        executed(*scores)
        study = run_study(tmp_path / "study.log", "a2c", GAME, 100, trials, seeds=1, report=report)
    assert reported == [0, 1, 2]
    assert len(study.trials) == 3


def test_an_algorithm_is_replaced_in_the_table_of_all():
    entry = {"turns": 2, "parameters": {}, "study": {}}
    merged = merge_tuned("sac", entry)
    assert list(merged) == list(algorithms.ALGORITHMS)
    tuned = {name: algorithms.tuned(name)._asdict() for name in algorithms.ALGORITHMS}
    assert merged == tuned | {"sac": entry}

"""Tuning: every algorithm has a space, and studies are run, resumed and merged into the table."""

import math
from pathlib import Path

import pytest

from agents.benchmark import tuning
from agents.benchmark.run import Result
from agents.benchmark.tuning import SPACES, merge_tuned, open_study, reason_of_failure, run_study, suggest
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
            reason = f"Traceback:\nValueError: number {len(runs) - 1}\n"
            return Result({"status": status, "nash_conv": nash_conv, "traceback": reason}, {})

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
    study = open_study(tmp_path / "study.log", "ppo")
    run_study(study, GAME, 100, trials=3, seeds=2, report=lambda *_: None)
    assert [trial.value for trial in study.trials] == pytest.approx([0, -1, -4])
    assert [run.seed for run in runs] == [100, 101] * 3
    assert {run.turns for run in runs} == {100}
    present = algorithms.check_parameters("ppo", {})
    assert runs[0].parameters == present
    assert study.best_trial.user_attrs["nash_conv"] == pytest.approx([1e-3, 1e-5])


def test_equilibria_that_are_reached_exactly_have_a_logarithm(tmp_path, executed):
    executed(0.0)
    study = open_study(tmp_path / "study.log", "a2c")
    run_study(study, GAME, 100, trials=1, seeds=1, report=lambda *_: None)
    assert study.best_value == -9


@pytest.mark.parametrize("nash_conv", [None, math.nan, math.inf, 1e9])
def test_failed_and_diverged_runs_count_as_the_worst(tmp_path, executed, nash_conv):
    executed(nash_conv, 1.0)
    study = open_study(tmp_path / "study.log", "sac")
    run_study(study, GAME, 100, trials=1, seeds=2, report=lambda *_: None)
    assert study.best_value == 3.0
    assert reason_of_failure(study) is None


def test_a_trial_whose_runs_all_failed_has_failed_and_says_why(tmp_path, executed):
    executed(None, None, 1.0, 0.1, None, None)
    study = open_study(tmp_path / "study.log", "sac")
    run_study(study, GAME, 100, trials=1, seeds=2, report=lambda *_: None)
    assert reason_of_failure(study) == "ValueError: number 0"
    run_study(study, GAME, 100, trials=3, seeds=2, report=lambda *_: None)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "FAIL"]
    assert reason_of_failure(study) is None
    assert study.best_value == pytest.approx(-0.5)


def test_a_study_in_which_nothing_has_ended_says_so(tmp_path):
    assert reason_of_failure(open_study(tmp_path / "study.log", "ppo")) == "no trial has ended"


@pytest.mark.parametrize("cut", [1, 15, 200, 1500])
def test_a_study_whose_journal_was_cut_is_resumed_from_what_is_left(tmp_path, executed, cut):
    executed(1.0, 0.1)
    journal = tmp_path / "study.log"
    run_study(open_study(journal, "a2c"), GAME, 100, trials=2, seeds=1, report=lambda *_: None)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-cut])
    executed(*[0.5] * 3)
    study = open_study(journal, "a2c")
    run_study(study, GAME, 100, trials=3, seeds=1, report=lambda *_: None)
    assert sum(trial.state.name == "COMPLETE" for trial in study.trials) == 3
    assert journal.read_bytes().startswith(whole[: whole.rfind(b"\n", 0, len(whole) - cut) + 1])


@pytest.mark.parametrize("content", [b"my notes", "my\nnotes".encode("utf-16"), bytes(99), b'{"mine": 1}'])
def test_what_is_no_journal_is_kept(tmp_path, content):
    journal = tmp_path / "study.log"
    journal.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*study.log must be the journal of a study; [^\n]*$"):
        open_study(journal, "ppo")
    assert journal.read_bytes() == content


@pytest.mark.parametrize(
    "damage", [b"no JSON\n", b"[]\n", b'{"op_code": 99}\n', b"\xff\n", b'{"op_code": 4}\n']
)
def test_a_damaged_journal_is_refused_in_one_sentence_and_kept(tmp_path, damage):
    journal = tmp_path / "study.log"
    open_study(journal, "ppo")
    content = damage + journal.read_bytes()
    journal.write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*study.log must be the journal of a study; [^\n]*$"):
        open_study(journal, "ppo")
    assert journal.read_bytes() == content


@pytest.mark.parametrize("lock", ["symbolic link", "file"])
def test_a_lock_that_a_killed_process_left_behind_keeps_no_study_waiting(tmp_path, lock, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left, journal = Path("study.log.lock"), Path("study.log")
    left.symlink_to(journal) if lock == "symbolic link" else left.touch()
    assert open_study(journal, "ppo").trials == []
    assert left.is_symlink() or left.exists()


def test_a_study_is_resumed_up_to_as_many_trials_in_all(tmp_path, executed):
    reported = []

    def report(_, trial):
        reported.append(trial.number)

    for trials, scores in ((2, (1.0, 0.1)), (3, (0.01,))):
        executed(*scores)
        study = open_study(tmp_path / "study.log", "a2c")
        run_study(study, GAME, 100, trials, seeds=1, report=report)
    assert reported == [0, 1, 2]
    assert len(study.trials) == 3


def test_an_algorithm_is_replaced_in_the_table_of_all():
    entry = {"turns": 2, "parameters": {}, "study": {}}
    merged = merge_tuned("sac", entry)
    assert list(merged) == list(algorithms.ALGORITHMS)
    tuned = {name: algorithms.load_tuned(name)._asdict() for name in algorithms.ALGORITHMS}
    assert merged == tuned | {"sac": entry}

"""scripts/tune.py: studies are kept, resumed and shipped, and invalid ones are refused."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

import agents
from agents.learning import algorithms
from scripts.game_arguments import GameArguments
from scripts.tune import Arguments, main
from tests.conftest import refused

SHORT = GameArguments(train=1, deploy=2)


def tiny(folder, **changed):
    return Arguments(
        **{"algorithm": "a2c", "turns": 200, "trials": 2, "game": SHORT, "out": folder} | changed
    )


def test_a_study_is_kept_and_resumed(tmp_path, capsys):
    folder = tmp_path / "study"
    main(tiny(folder))
    first = pd.read_csv(folder / "trials.csv")
    assert len(first) == 2
    assert first["params_learning_rate"][0] == algorithms.check_parameters("a2c", {})["learning_rate"]
    main(tiny(folder, trials=3, resume=True))
    trials = pd.read_csv(folder / "trials.csv")
    pd.testing.assert_series_equal(trials["value"][:2], first["value"])
    assert len(trials) == 3
    best = json.loads((folder / "best.json").read_text())
    assert best["parameters"] == {
        name.removeprefix("params_"): trials.loc[trials["value"].idxmin(), name]
        for name in trials
        if name.startswith("params_")
    }
    assert best["study"]["seeds"] == [100, 101]
    assert best["study"]["trials"] == 3
    assert "the best trials of a2c" in capsys.readouterr().out


def test_the_best_parameters_are_merged_into_the_table_of_tuned_ones(tmp_path, capsys):
    committed = Path(agents.__file__).parent / "learning" / "tuned.json"
    before = committed.read_bytes()
    main(tiny(tmp_path, trials=1, seeds=1, ship=700))
    table, best = (json.loads((tmp_path / name).read_text()) for name in ("tuned.json", "best.json"))
    assert list(table) == list(algorithms.ALGORITHMS)
    assert table == json.loads(before) | {"a2c": best}
    assert (best["turns"], best["study"]["turns"]) == (700, 200)
    assert f"cp {tmp_path / 'tuned.json'} agents/learning/tuned.json" in capsys.readouterr().out
    assert committed.read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"algorithm": "dqn"}, "algorithm must be one of ppo, a2c, sac, td3, tqc, crossq; got 'dqn'"),
        ({"turns": 0}, "turns must be a whole number in 1…10000000000; got 0"),
        ({"trials": -1}, "trials must be a whole number in 1…10000; got -1"),
        ({"ship": 0}, "ship must be a whole number in 1…10000000000; got 0"),
        ({"game": GameArguments(discount=2.0)}, "discount"),
        ({"algorithm": "sac", "game": GameArguments(rules="GoalTraining")}, "sac learns continuous actions"),
    ],
)
def test_invalid_arguments_are_refused(changed, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(tiny(tmp_path / "study", **changed))
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_another_study_is_not_overwritten(tmp_path, capsys):
    main(tiny(tmp_path, trials=1, seeds=1))
    with pytest.raises(SystemExit):
        main(tiny(tmp_path, trials=1, seeds=1))
    assert "already holds a run of tune" in capsys.readouterr().err


def test_a_study_in_which_every_trial_fails_says_why_and_ships_nothing(tmp_path, capsys):
    arguments = Arguments(algorithm="ppo", turns=100, trials=2, seeds=1, out=tmp_path / "study", ship=7)
    for resume in (False, True):
        with pytest.raises(SystemExit) as exit_:
            main(dataclasses.replace(arguments, resume=resume))
        assert exit_.value.code == 1
        message = capsys.readouterr().err
        assert message.startswith(
            "error: no trial was completed: ValueError: turns must allow one rollout of"
        )
        assert "Traceback" not in message
    assert set(pd.read_csv(tmp_path / "study" / "trials.csv")["state"]) == {"FAIL"}
    assert not list(tmp_path.rglob("best.json")) + list(tmp_path.rglob("tuned.json"))


def test_a_study_that_was_killed_within_its_journal_is_resumed(tmp_path):
    folder = tmp_path / "study"
    main(tiny(folder, seeds=1))
    first = pd.read_csv(folder / "trials.csv")
    (folder / "study.log.lock").symlink_to("study/study.log")  # as optuna locks a journal by a relative path
    (folder / "study.log").write_bytes((folder / "study.log").read_bytes()[:-15])
    main(tiny(folder, trials=3, seeds=1, resume=True))
    trials = pd.read_csv(folder / "trials.csv")
    assert list(trials["state"]).count("COMPLETE") == 3
    assert trials["value"][0] == first["value"][0]
    assert (folder / "best.json").exists()


def test_a_damaged_journal_is_refused_in_one_sentence(tmp_path, capsys):
    main(tiny(tmp_path / "study", trials=1, seeds=1))
    (tmp_path / "study" / "study.log").write_text("no journal\n")
    capsys.readouterr()
    message = refused(capsys, main, tiny(tmp_path / "study", trials=2, seeds=1, resume=True))
    assert "study.log must be the journal of a study" in message

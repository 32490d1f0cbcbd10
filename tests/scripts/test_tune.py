"""Tuning: trials are kept, resumed and shipped, and what cannot be tuned is refused."""

import json

import pandas as pd
import pytest

from agents.learning import algorithms
from scripts import tune
from scripts.arguments import GameArguments
from scripts.tune import SPACES, Arguments, main, ship

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
    assert first["params_learning_rate"][0] == algorithms.checked_parameters("a2c", {})["learning_rate"]
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


def test_what_is_best_is_shipped_where_sweeps_find_it(tmp_path, monkeypatch):
    shipped = tmp_path / "tuned.json"
    shipped.write_text('{"sac": {"turns": 1, "parameters": {}, "study": {}}}')
    monkeypatch.setattr(tune, "_TUNED", shipped)
    main(tiny(tmp_path / "study", trials=1, seeds=1, ship=700))
    found = json.loads(shipped.read_text())
    assert list(found) == ["a2c", "sac"]
    assert found["a2c"]["turns"] == 700
    assert found["a2c"]["study"]["turns"] == 200
    ship("sac", {"turns": 2})
    assert json.loads(shipped.read_text())["sac"] == {"turns": 2}


def test_every_algorithm_has_a_space_of_its_own_parameters():
    class Suggestions:
        def __getattr__(self, kind):
            return lambda name, *rest, **more: name

    assert SPACES.keys() == algorithms.ALGORITHMS.keys()
    for name, space in SPACES.items():
        assert set(space(Suggestions())) <= set(algorithms.parameters_of(algorithms.algorithm(name)))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"algorithm": "dqn"}, "what can be tuned is ppo, a2c, sac, td3, tqc, crossq; got 'dqn'"),
        ({"turns": 0}, "turns must be a whole number ≥ 1; got 0"),
        ({"trials": -1}, "trials must be a whole number ≥ 1; got -1"),
        ({"ship": 0}, "ship must be a whole number ≥ 1; got 0"),
        ({"game": GameArguments(discount=2.0)}, "discount"),
    ],
)
def test_what_cannot_be_tuned_is_refused(changed, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(tiny(tmp_path / "study", **changed))
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_another_study_is_not_written_over(tmp_path, capsys):
    main(tiny(tmp_path, trials=1, seeds=1))
    with pytest.raises(SystemExit):
        main(tiny(tmp_path, trials=1, seeds=1))
    assert "already holds a study" in capsys.readouterr().err

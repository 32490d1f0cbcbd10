"""Learners are measured where they are found, and read from the documentation's tables where they are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import agents
import mesa_env
from mesa_env import Game
from scripts.experiments import EXPERIMENTS, learners
from scripts.experiments.finding import Finding
from scripts.experiments.learners import Contest, Learners
from scripts.experiments.page import read_template, tables_of

GAME = Game([1.0, 0.0])


@pytest.fixture
def unrecorded(monkeypatch, tmp_path):
    """A checkout whose documentation has no tables of learners."""
    monkeypatch.setattr(learners, "RECORDED", tmp_path / "recorded")


def fail():
    raise AssertionError("nothing must be measured")


def test_without_models_and_tables_learners_are_missing(unrecorded):
    missing = Learners("discount", None, Contest("discount", GAME))
    assert (missing.source, missing.models) == ("missing", {"discount": {}})
    table = missing.table()
    assert table["agent"].tolist() == ["oracle"]
    assert table["relative_exploitability"].item() == pytest.approx(0, abs=1e-9)
    costs = pd.DataFrame(mesa_env.compare(GAME, {"oracle": mesa_env.oracle(GAME)}, [0.8, -0.4]))["mesa_cost"]
    assert table["mesa_cost"].item() == pytest.approx(costs.mean())
    completed = missing.complete(Finding({}, Figure(), {}))
    assert (completed.numbers, completed.learners) == ({}, "missing")


def test_models_in_a_folder_that_is_named_are_played(unrecorded, tmp_path):
    opened = []

    def load(path):
        opened.append(path)
        return agents.make("myopic", GAME)

    loaded = Learners("discount", tmp_path, Contest("learner", GAME), seeds=2, load=load)
    assert opened == [tmp_path / f"learner-{seed}" / "model.zip" for seed in range(2)]
    assert loaded.source == "trained"
    assert list(loaded.models["learner"]) == ["seed 0", "seed 1"]
    table = loaded.table()
    assert table["agent"].tolist() == ["oracle", "seed 0", "seed 1"]
    assert np.ptp(table["mesa_cost"][1:]) == 0


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"learner-0/model.zip must be a model .*; there is none"):
        Learners("discount", tmp_path, Contest("learner", GAME))


@pytest.mark.parametrize("file", ["model.zip", "policy.pt"])
def test_nothing_is_loaded_that_is_not_named(file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "variants" / "learner-0"
    folder.mkdir(parents=True)
    (folder / file).touch()
    contest = Contest("learner", GAME)
    unnamed = Learners("discount", None, contest, seeds=1, file=file, load=lambda path: fail())
    assert unnamed.models == {"learner": {}}


RECORDED = {
    name: [
        table for table in tables_of(read_template(name)) if table in ("learners", "networks", "staircases")
    ]
    for name in EXPERIMENTS
}


@pytest.mark.parametrize(
    ("name", "table"), [(name, table) for name, shown in RECORDED.items() for table in shown]
)
def test_recorded_tables_are_read_without_changing_a_byte(name, table):
    recorded = Learners(name, None, Contest("learner", GAME), table=table)
    assert recorded.source == "recorded"
    headings = tables_of(read_template(name))[table].headings
    frame = recorded.table(fail, table)
    assert list(frame.columns) == list(headings)
    written = frame.rename(columns=headings).to_csv(index=False)
    assert written.encode() == (learners.RECORDED / f"{name}_{table}.csv").read_bytes()


def test_gains_are_summarized_over_seeds(unrecorded):
    table = pd.DataFrame(
        {"agent": ["oracle", "seed 0", "seed 1"], "relative_exploitability": [0.0, 1.0, 3.0]}
    )
    completed = Learners("discount", None, Contest("ppo", GAME)).complete(Finding({}, Figure(), {}), table)
    assert completed.numbers == {"ppo_seeds": 2, "ppo_mean": 2.0, "ppo_worst": 3.0}
    assert completed.tables["learners"] is table

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
def untrained(monkeypatch, tmp_path):
    """A checkout in which nothing has been trained."""
    monkeypatch.setattr(learners, "TRAINED", tmp_path / "trained")


@pytest.fixture
def unrecorded(untrained, monkeypatch, tmp_path):
    """A checkout whose documentation has no tables of learners, either."""
    monkeypatch.setattr(learners, "RECORDED", tmp_path / "recorded")


def fail():
    raise AssertionError("nothing must be measured")


def test_without_models_and_tables_learners_are_missing(unrecorded):
    missing = Learners("discount", Contest("discount", GAME))
    assert (missing.source, missing.models) == ("missing", {"discount": {}})
    table = missing.table()
    assert table["agent"].tolist() == ["oracle"]
    assert table["relative_exploitability"].item() == pytest.approx(0, abs=1e-9)
    costs = pd.DataFrame(mesa_env.compare(GAME, {"oracle": mesa_env.oracle(GAME)}, [0.8, -0.4]))["mesa_cost"]
    assert table["mesa_cost"].item() == pytest.approx(costs.mean())
    completed = missing.complete(Finding({}, Figure(), {}))
    assert (completed.numbers, completed.learners) == ({}, "missing")


def test_models_are_used_only_if_all_are_found(unrecorded):
    loaded = {}
    for seed in range(2):
        folder = learners.TRAINED / f"learner-{seed}"
        folder.mkdir(parents=True)
        (folder / "model.zip").touch()
        contest = Contest("learner", GAME)
        loaded[seed] = Learners("discount", contest, seeds=2, load=lambda path: agents.make("myopic", GAME))
    assert loaded[0].source == "missing"
    assert loaded[1].source == "trained"
    assert list(loaded[1].models["learner"]) == ["seed 0", "seed 1"]
    table = loaded[1].table()
    assert table["agent"].tolist() == ["oracle", "seed 0", "seed 1"]
    assert np.ptp(table["mesa_cost"][1:]) == 0


RECORDED = {
    name: [
        table for table in tables_of(read_template(name)) if table in ("learners", "networks", "staircases")
    ]
    for name in EXPERIMENTS
}


@pytest.mark.parametrize(
    ("name", "table"), [(name, table) for name, shown in RECORDED.items() for table in shown]
)
def test_recorded_tables_are_read_without_changing_a_byte(name, table, untrained):
    recorded = Learners(name, Contest("learner", GAME), table=table)
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
    completed = Learners("discount", Contest("ppo", GAME)).complete(Finding({}, Figure(), {}), table)
    assert completed.numbers == {"ppo_seeds": 2, "ppo_mean": 2.0, "ppo_worst": 3.0}
    assert completed.tables["learners"] is table

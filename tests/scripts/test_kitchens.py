"""Learners in kitchens as a command: its rows, its summary, and what it refuses."""

import numpy as np
import pandas as pd
import pytest

from agents.learning.worlds import LEARNERS
from mesa_env.worlds import WORLDS, PlanningAgent, plan
from scripts.experiments import kitchens
from scripts.kitchens import Arguments, main
from tests.conftest import refused


def test_the_command_trains_every_learner_in_every_kitchen_unless_told_otherwise():
    assert Arguments.worlds == tuple(WORLDS)
    assert Arguments.learners == tuple(LEARNERS)
    assert len(Arguments.seeds) >= 3


def test_every_learner_and_seed_is_measured_beside_the_planners(tmp_path, capsys):
    main(Arguments(("CrumbVacuuming",), ("reward", "ppo"), (0, 1), 1000, tmp_path / "out"))
    table = pd.read_csv(tmp_path / "out" / "kitchens.csv")
    assert table["agent"].tolist() == ["base planner", "proxy planner", *["reward"] * 2, *["ppo"] * 2]
    assert table["seed"].tolist()[2:] == [0, 1, 0, 1]
    rows = table.set_index("agent")
    assert rows.loc["base planner", ["training", "deployed", "best deployed"]].tolist() == [4, 4, 4]
    assert rows.loc["proxy planner", ["training", "deployed", "feature 2 deployed"]].tolist() == [4, 0, 10]
    assert (table["deployed"] <= table["best deployed"]).all()
    assert "| CrumbVacuuming | reward | 4 |" in (tmp_path / "out" / "kitchens.md").read_text()
    assert (tmp_path / "out" / "kitchens.png").exists()
    assert "CrumbVacuuming, proxy planner: 4 in training, 0 deployed" in capsys.readouterr().out


@pytest.mark.parametrize("name", WORLDS)
def test_the_goal_of_a_planner_is_found_from_both_worlds(name):
    kitchen, goal = kitchens.build_kitchen(name), np.array([0.4, 0.8])
    row = kitchens.measure(kitchen, PlanningAgent(kitchen, goal))
    assert row["bounded"]
    np.testing.assert_allclose([row["w_1"], row["w_2"]], goal, atol=0.5)
    if name != "TableSetting":  # in training, the two features are one
        assert row["w_1 by training"] == pytest.approx(row["w_2 by training"])
        np.testing.assert_allclose(2 * row["w_1 by training"], goal.sum(), atol=0.5)


@pytest.mark.parametrize("name", WORLDS)
def test_training_takes_the_proxy_for_the_base_objective(name):
    kitchen = kitchens.build_kitchen(name)
    best = PlanningAgent(kitchen, kitchen.proxy)
    assert kitchens.measure(kitchen, best)["training"] == kitchen.plans().base.max()
    assert plan(kitchen.plans(), kitchen.proxy).base > plan(kitchen.plans(), (0, 0)).base


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"worlds": ("Kitchen",)}, "worlds are named TableWiping, "),
        ({"worlds": ()}, "worlds must be some of TableWiping, "),
        ({"learners": ("pppo",)}, "learners are named dqn, ppo, reward; got 'pppo' (did you mean 'ppo'?)"),
        ({"seeds": ()}, "the number of seeds must be a whole number in 1…"),
        ({"seeds": (1, 1)}, "seeds must each be named once; got 1 1"),
        ({"seeds": (-1,)}, "a seed must be a whole number in 0…"),
        ({"steps": 0}, "steps must be a whole number in 1…"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, capsys, changes, message):
    arguments = Arguments(**changes, out=tmp_path / "out")
    assert message in refused(capsys, main, arguments)
    assert not (tmp_path / "out").exists()

"""Numbers of the pages on worlds that were found in other ways."""

import numpy as np
import pytest

import mesa_env
from agents.benchmark.world_speed import enumerate_plans
from mesa_env.worlds import TableWiping
from scripts.experiments import deception, diversity, learned_goals


def test_maps_hold_the_table_that_was_checked_independently():
    maps = diversity.start_maps(np.array([0.0]), np.array([0.0, 1.0]))
    for name, training, deployed in (
        ("sincere", (3.718, 2.335), (-0.489, 3.863)),
        ("strategic", (3.718, 3.178), (-0.489, -0.845)),
    ):
        np.testing.assert_allclose(maps[name].training_return[:, 0], training, atol=5e-4)
        np.testing.assert_allclose(maps[name].deployed_return[:, 0], deployed, atol=5e-4)


def test_a_pull_of_0_is_none():
    pulled, started = (
        make(np.array([0.0]), np.array([0.3])) for make in (diversity.pull_maps, diversity.start_maps)
    )
    for name in diversity.MODELS:
        np.testing.assert_allclose(pulled[name].deployed_return, started[name].deployed_return, rtol=1e-12)


@pytest.mark.parametrize("world", ["CrumbVacuuming", "CookieElimination"])
def test_curves_of_deception_are_those_of_games_as_they_are_played(world, monkeypatch):
    monkeypatch.setattr(deception, "TRAIN", 3)
    monkeypatch.setattr(deception, "SHARES", np.array([0.0, 0.4, 1.0]))
    rows = deception.solve(world, 4)
    for _, row in rows[rows["diversity"] != 0.4].iterrows():
        game = mesa_env.GoalTraining(
            world, mesa_env.train_then_deploy(3, 4, deception.RATE), diversity=row["diversity"]
        )
        strategic, sincere = (
            mesa_env.rollout(other, mesa_env.oracle(other), [0.0, 2.0])
            for other in (game, mesa_env.GoalTraining(world, game.learning_rates, game.diversity, (1.0,)))
        )
        returns = [played.details["base_return"] for played in (sincere, strategic)]
        assert row["lost"] == pytest.approx(returns[0][-1] - returns[1][-1], abs=1e-6)
        assert row["gained"] == pytest.approx(returns[1][:3].mean() - returns[0][:3].mean(), abs=1e-6)
        assert row["silent"] == pytest.approx(1 - strategic.coefficients[:3].mean())
        assert row["hidden"] <= row["silent"] + 1e-12


def test_curves_of_deception_do_not_jump_by_rounding():
    assert deception.solve("CookieElimination", 1)["lost"].diff().abs().max() < 0.5


def test_plans_that_a_goal_likes_alike_are_counted():
    plans = enumerate_plans(TableWiping(deployed=True))
    worth = plans[:, 0] + plans[:, 1]
    best = plans[worth == worth.max(), 2]
    found = learned_goals.count_goals().loc["TableWiping"]
    assert (found["tied_least"], found["tied_most"]) == (best.min(), best.max())
    assert found["perfect"] == pytest.approx(50, abs=1e-3)

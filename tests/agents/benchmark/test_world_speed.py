"""The plain references that worlds are timed against find the same."""

from dataclasses import replace

import numpy as np
import pytest

from agents.benchmark import world_speed
from mesa_env import GoalTraining, train_then_deploy
from mesa_env.solutions.goal_training import find_prospects, grow_tree
from mesa_env.worlds import TableWiping


@pytest.mark.parametrize("diversity", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("pursuits", [(1.0,), (0.0, 1.0)])
def test_the_plain_solution_is_that_of_the_tree(diversity, pursuits):
    game = GoalTraining("TableWiping", train_then_deploy(2, 3, 0.3), diversity, pursuits, discount=0.9)
    listed = [world_speed.enumerate_plans(world) for world in (game.world, game.deployed_world)]
    goal = np.array([0.5, 1.5])
    expected = find_prospects(game, grow_tree(game, goal[None])).features[0]
    np.testing.assert_allclose(world_speed.solve_plainly(game, listed, goal), expected, rtol=1e-10)


def test_all_plans_are_enumerated():
    plans = TableWiping().plans()
    rows, counts = np.unique(world_speed.enumerate_plans(TableWiping()), axis=0, return_counts=True)
    np.testing.assert_array_equal(rows, np.column_stack(plans[:2]))
    assert tuple(counts) == plans.ways


def test_every_aim_of_worlds_is_measured(monkeypatch):
    monkeypatch.setattr(world_speed, "_CELLS", 3)
    small = replace(GoalTraining("TableWiping"), learning_rates=train_then_deploy(2, 2, 0.3))
    monkeypatch.setattr(world_speed, "GoalTraining", lambda world: small)
    rows = world_speed.measure_worlds(1)
    assert [row.aim for row in rows] == ["–", "< 1 s", "< 1 s", "< 10 s"]
    assert all(row.ratio > 1 for row in rows if row.reference != "–")

"""The planner as an agent: its plans are those of `plan`, step by step."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from mesa_env.interfaces.world_env import WorldEnv
from mesa_env.worlds import (
    WORLDS,
    CookieElimination,
    CrumbVacuuming,
    ObservedWorld,
    PlanningAgent,
    TableSetting,
    TableWiping,
    plan,
)
from mesa_env.worlds.observation import observe
from mesa_env.worlds.world import measure
from tests.mesa_env.worlds.test_worlds import Shelf

WORLDS_TO_PLAN = [*[kind(deployed) for kind in WORLDS.values() for deployed in (False, True)], Shelf()]


def outcomes(world, agent):
    """Probability of each outcome, if every state is acted in as the agent says."""
    reached = {world.start(): 1.0}
    for step in range(world.horizon):
        after = Counter()
        for state, probability in reached.items():
            for action, share in zip(
                world.actions, agent.probabilities(observe(world, state, step)), strict=True
            ):
                after[world.step(state, action)] += probability * share
        reached = after
    found = Counter()
    for state, probability in reached.items():
        features, base = measure(world, state)
        found[(*features, base)] += probability
    return found


def follow(world, agent):
    """Features and base return of an episode without chance."""
    env = WorldEnv(world)
    (observation, info), over = env.reset(seed=0), False
    while not over:
        action, _ = agent.predict(observation, deterministic=True)
        observation, _, over, _, info = env.step(action)
    return info["features"], info["base_return"]


@pytest.mark.parametrize("world", WORLDS_TO_PLAN, ids=repr)
@pytest.mark.parametrize(("weights", "temperature"), [((0, 2), 1.0), ((-1, 0.5), 0.3), ((0, 0), 1.0)])
def test_plans_are_as_probable_as_the_planner_says(world, weights, temperature):
    plans = world.plans()
    found = outcomes(world, PlanningAgent(world, weights, temperature))
    rows = [(*features, base) for features, base in zip(plans.features, plans.base, strict=True)]
    expected = plan(plans, weights, temperature).probabilities
    np.testing.assert_allclose([found[row] for row in rows], expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("world", WORLDS_TO_PLAN, ids=repr)
def test_a_weight_on_the_base_return_is_a_goal_as_any_other(world):
    plans, agent = world.plans(), PlanningAgent(world, (0.5, -1), base_weight=2.0)
    own = plans._replace(features=np.column_stack([plans.features, plans.base]))
    rows = [(*features, base) for features, base in zip(plans.features, plans.base, strict=True)]
    found = outcomes(world, agent)
    np.testing.assert_allclose([found[row] for row in rows], plan(own, (0.5, -1, 2)).probabilities, rtol=1e-9)
    scores = plans.features @ (0.5, -1) + 2 * plans.base
    features, base = follow(world, agent)
    assert features @ (0.5, -1) + 2 * base == pytest.approx(scores.max())


@pytest.mark.parametrize(
    ("kind", "weights", "training", "deployed"),
    [
        (TableWiping, (0, 2), 3, 2),
        (CrumbVacuuming, (0, 2), 4, 0),
        (CrumbVacuuming, (1, 0), 4, 4),
        (CookieElimination, (0, 2), 0, -3),
    ],
)
def test_what_a_goal_costs_the_base_objective_once_it_is_deployed(kind, weights, training, deployed):
    agent = PlanningAgent(kind(), weights)
    assert follow(kind(), agent)[1] == training
    assert follow(kind(True), agent.replan(kind(True)))[1] == deployed


def test_draws_follow_the_probabilities_and_the_seed():
    world = TableSetting()
    first = np.tile(observe(world, world.start(), 0), (4000, 1))
    drawn, again = (PlanningAgent(world, (2, -1), seed=3).predict(first)[0] for _ in range(2))
    np.testing.assert_array_equal(drawn, again)
    frequencies = np.bincount(drawn, minlength=3) / 4000
    np.testing.assert_allclose(frequencies, PlanningAgent(world, (2, -1)).probabilities(first[0]), atol=0.03)


def test_a_batch_acts_as_each_alone():
    world = TableWiping()
    agent = PlanningAgent(world, (0, 1))
    rows = np.stack([observe(world, world.start(), 0), observe(world, world.step(world.start(), "wipe"), 1)])
    together, memory = agent.predict(rows, state="memory", deterministic=True)
    assert together.tolist() == [int(agent.predict(row, deterministic=True)[0]) for row in rows]
    assert agent.predict(rows[0])[0].shape == ()
    assert memory == "memory"


class Blind(Shelf, ObservedWorld):
    """It shows the shelf alone."""

    observation_bounds = ([0], [2])

    def observe(self, state):
        return state[:1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"world": "TableWiping"}, "world must be a World; got 'TableWiping'"),
        ({"weights": (1, 2, 3)}, "weights must be finite numbers, one for each of 2 features; got (1, 2, 3)"),
        ({"weights": (np.nan, 1)}, "weights must be finite numbers, one for each of 2 features"),
        ({"temperature": 0}, "temperature must be a finite number greater than 0"),
        ({"base_weight": np.inf}, "base_weight must be a finite number"),
        ({"seed": -1}, "seed must be a whole number ≥ 0; got -1"),
        ({"world": Blind()}, "what is seen of Blind must tell its states apart"),
    ],
)
def test_what_cannot_plan_is_refused_in_one_sentence(arguments, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        PlanningAgent(**{"world": TableWiping(), "weights": (0, 1)} | arguments)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        ([1.0, 2.0], r"observation must have shape (8,) or (B, 8); got [1.0, 2.0]"),
        ("here", r"observation must have shape (8,) or (B, 8); got 'here'"),
        ([0.5] * 8, "observation must be what TableWiping shows before its last step; got [0.5, 0.5"),
    ],
)
def test_what_a_world_does_not_show_is_refused(observation, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        PlanningAgent(TableWiping(), (0, 1)).predict(observation)

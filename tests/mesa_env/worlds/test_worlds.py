"""Plan tables against enumerated plans and independent numbers, and planners against calculus."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import worlds
from mesa_env.worlds import CookieElimination, CrumbVacuuming, Plans, TableSetting, TableWiping, plan
from tests.conftest import Shelf

KITCHENS = (TableWiping, CrumbVacuuming, TableSetting, CookieElimination)


def enumerate_plans(world):
    """Outcomes of all plans, one by one."""
    found = Counter()
    for actions in itertools.product(world.actions, repeat=world.horizon):
        state = world.start()
        for action in actions:
            state = world.step(state, action)
        features, base = world.outcome(state)
        found[(*map(float, features), float(base))] += 1
    return found


@pytest.mark.parametrize(
    "world",
    [Shelf(), Shelf(5), TableWiping(), TableWiping(True), TableSetting(), TableSetting(True)],
    ids=repr,
)
def test_plan_tables_are_those_of_all_plans(world):
    plans, enumerated = world.plans(), enumerate_plans(world)
    rows = [
        (*features, base) for features, base in zip(plans.features.tolist(), plans.base.tolist(), strict=True)
    ]
    assert rows == sorted(enumerated)
    assert list(plans.ways) == [enumerated[row] for row in rows]
    np.testing.assert_allclose(plans.log_ways, np.log(plans.ways), rtol=1e-15)


@pytest.mark.parametrize("kind", KITCHENS)
@pytest.mark.parametrize("deployed", [False, True])
def test_every_plan_is_counted_once(kind, deployed):
    world = kind(deployed=deployed)
    assert sum(world.plans().ways) == len(world.actions) ** world.horizon
    assert world.plans() is kind(deployed).plans(), "tables are shared"


@pytest.mark.parametrize(
    ("kind", "training", "deployed"),
    [(TableWiping, 4, 14), (CrumbVacuuming, 5, 37)],
    ids=["wiping", "vacuuming"],
)
def test_kitchens_have_as_many_outcomes_as_were_counted_independently(kind, training, deployed):
    assert [len(kind(flag).plans().base) for flag in (False, True)] == [training, deployed]


@pytest.mark.parametrize(
    ("world", "base", "proxy"),
    [
        (TableWiping(), 2.070, 2.070),
        (TableWiping(True), 0.379, 2.632),
        (CrumbVacuuming(), 3.425, 3.425),
        (CrumbVacuuming(True), -1.180, 8.283),
    ],
    ids=repr,
)
def test_planners_of_a_proxy_bring_about_what_was_found_independently(world, base, proxy):
    planned = plan(world.plans(), (0, 2))
    assert planned.base == pytest.approx(base, abs=5e-4)
    assert planned.features[1] == pytest.approx(proxy, abs=5e-4)


def train(plans, weights, rate=0.3, updates=300):
    weights = np.array(weights, dtype=float)
    for _ in range(updates):
        weights = weights + rate * plan(plans, weights).gradient
    return weights


def test_the_best_goal_for_one_gap_is_a_bad_one_for_another():
    """Twice the lesser of two counts is no weighted sum of them."""
    weights, deployed = train(TableSetting().plans(), (1, 1.5)), TableSetting(True).plans()
    assert plan(TableSetting().plans(), weights).base == pytest.approx(1.971, abs=5e-4)
    assert plan(deployed, weights).base == pytest.approx(0.009, abs=5e-4)
    own = deployed._replace(features=deployed.base[:, None])
    assert plan(own, [12.0]).base == pytest.approx(2.0, abs=5e-4)
    others = np.stack(np.meshgrid(*[np.linspace(-8, 8, 65)] * 2), axis=-1)
    assert plan(deployed, others).base.max() < 0.01


def test_training_teaches_the_delusion_that_makes_the_robot_useful():
    """κ moves at the goal's rate, by ∂R/∂κ = θ_2 Cov(r, vacuumed) / τ."""

    def run(trained):
        weights, delusion = np.array([0.0, 2.0]), 0.0
        for _ in range(15):
            plans = CookieElimination(delusion=delusion).plans()
            now = plan(plans, weights)
            # In training nothing is destroyed: what is vacuumed is the base return.
            push = weights[1] * now.probabilities @ (plans.base - now.base) ** 2
            weights = weights + 0.3 * now.gradient
            delusion = min(max(delusion + trained * 0.3 * push, 0.0), 1.0)
        return weights, delusion

    def deployed(weights, delusion):
        return plan(CookieElimination(True, delusion).plans(), weights).base

    weights, delusion = run(trained=False)
    assert weights == pytest.approx((2.944, 2.0), abs=5e-4)
    assert deployed(weights, delusion) == pytest.approx(3.785, abs=5e-4)
    weights, delusion = run(trained=True)
    assert weights == pytest.approx((1.156, 2.742), abs=5e-4)
    assert delusion == 1
    assert deployed(weights, 1.0) == pytest.approx(3.880, abs=5e-4)
    assert deployed(weights, 0.0) == pytest.approx(0.743, abs=5e-4)


@pytest.mark.parametrize(
    ("world", "direction"),
    [(TableWiping(), (1, -1)), (CrumbVacuuming(), (1, -1)), (CookieElimination(), (0, 1))],
    ids=repr,
)
def test_training_moves_no_goal_in_directions_that_are_conserved(world, direction):
    plans, direction = world.plans(), np.array(direction) / math.hypot(*direction)
    assert abs(plans.conserved @ direction) == pytest.approx([1.0])
    goals = np.random.default_rng(0).normal(size=(50, 2))
    np.testing.assert_allclose(plan(plans, goals).gradient @ direction, 0, atol=1e-12)
    assert len(replace(world, deployed=True).plans().conserved) == 0


def test_directions_are_found_in_tables_of_any_length():
    """Left singular vectors of this one would take 80 GB."""
    features = np.outer(np.arange(100_000.0), (1, 2))
    conserved = Plans(features, np.zeros(100_000), np.zeros(100_000), (1,) * 100_000).conserved
    assert abs(conserved @ (2, -1)) == pytest.approx([math.sqrt(5)])


@given(
    st.sampled_from(KITCHENS),
    st.booleans(),
    st.tuples(*[st.floats(-3, 3)] * 2),
    st.floats(0.3, 3),
)
def test_gradients_are_those_of_the_returns(kind, deployed, weights, temperature):
    plans, step = kind(deployed).plans(), 1e-5
    planned = plan(plans, weights, temperature)
    assert planned.probabilities.sum() == pytest.approx(1)
    moved = np.array(weights) + step * np.concatenate([np.eye(2), -np.eye(2)])
    beside = plan(plans, moved, temperature)
    slopes = (beside.base[:2] - beside.base[2:]) / (2 * step)
    np.testing.assert_allclose(planned.gradient, slopes, atol=1e-7)
    slopes = (beside.features[:2] - beside.features[2:]) / (2 * step)
    np.testing.assert_allclose(planned.covariance / temperature, slopes, atol=1e-6)


def test_a_batch_of_goals_is_planned_as_each_alone():
    plans, goals = CrumbVacuuming(True).plans(), np.random.default_rng(1).normal(size=(4, 3, 2))
    planned = plan(plans, goals)
    for index in np.ndindex(4, 3):
        for batch, alone in zip(planned, plan(plans, goals[index]), strict=True):
            np.testing.assert_allclose(batch[index], alone, rtol=1e-12, atol=1e-14)


def test_a_cold_planner_takes_the_best_plan():
    plans = CrumbVacuuming(True).plans()
    planned = plan(plans, (1.0, 0.5), temperature=1e-3)
    assert planned.features @ (1.0, 0.5) == pytest.approx((plans.features @ (1.0, 0.5)).max())


def test_ways_may_be_more_than_floating_point_holds():
    class Long(Shelf):
        horizon = 1000

    plans = Long().plans()
    assert sum(plans.ways) == 3**1000
    assert np.exp(plans.log_ways - 1000 * math.log(3)).sum() == pytest.approx(1)


def changed(**attributes):
    return type("Shelf", (Shelf,), attributes)()


class Endless(Shelf):
    """Its states say when they are reached, and in which order."""

    horizon = 30

    def step(self, state, action):
        return (*state, action)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (changed(horizon=0), "the horizon of Shelf must be a whole number ≥ 1; got 0"),
        (changed(horizon=2.5), "the horizon of Shelf must be a whole number ≥ 1; got 2.5"),
        (changed(actions=()), r"actions of Shelf must be one or more different names; got \(\)"),
        (changed(actions="go"), "actions of Shelf must be one or more different names; got 'go'"),
        (changed(actions={"take"}), "actions of Shelf must be one or more different names; got {'take'}"),
        (changed(features=("read", "read")), "features of Shelf must be one or more different names"),
        (changed(outcome=lambda self, state: (state[2:], math.nan)), "must be 2 finite numbers, .*nan"),
        (changed(outcome=lambda self, state: (state[1:], 0)), "an outcome of Shelf must be 2 finite numbers"),
        (changed(outcome=lambda self, state: ((0, "a"), 0)), "an outcome of Shelf must be 2 finite numbers"),
        (changed(outcome=lambda self, state: 3), "an outcome of Shelf must be 2 finite numbers, .*; got 3"),
        (Endless(), "a plan table must need at most 5000000 steps"),
        (changed(__hash__=None), "worlds must be hashable: make Shelf a frozen dataclass"),
        (changed(start=lambda self: [2, 0]), r"states of Shelf must be hashable; got \[2, 0\]"),
        (changed(step=lambda self, state, action: [state]), "states of Shelf must be hashable; got"),
        (changed(start=lambda self: None), r"a world must start in a state of its own .*step\(None, "),
        (
            changed(start=lambda self: {}["a"]),
            r"to others; Shelf\.start\(\) raised KeyError: 'a'",
        ),
        (
            changed(outcome=lambda self, state: state[9]),
            r"Shelf\.outcome\(.*\) raised IndexError: tuple index",
        ),
    ],
)
def test_a_world_that_is_none_is_refused_in_one_sentence(world, message):
    with pytest.raises((ValueError, TypeError), match=message):
        world.plans()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"weights": (1, 2, 3)},
            r"weights must be finite numbers, one for each of 2 features; got \(1, 2, 3\)",
        ),
        ({"weights": 1.0}, "weights must be finite numbers"),
        ({"weights": (math.nan, 1)}, "weights must be finite numbers"),
        ({"temperature": 0}, "temperature must be a finite number greater than 0"),
        ({"temperature": 1e-300, "weights": (1e300, 1)}, "weights over temperature must stay finite"),
        ({"plans": TableWiping()}, "plans must be a plan table, as World.plans returns; got TableWiping"),
    ],
)
def test_a_goal_that_is_none_is_refused_in_one_sentence(arguments, message):
    given = {"plans": TableWiping().plans(), "weights": (0.0, 1.0)} | arguments
    with pytest.raises((ValueError, TypeError), match=message):
        plan(**given)


@pytest.mark.parametrize("flag", [1, "yes", None])
def test_kitchens_are_deployed_or_not(flag):
    with pytest.raises(ValueError, match="deployed must be"):
        CrumbVacuuming(flag)
    with pytest.raises(ValueError, match=r"delusion must be a finite number in \[0, 1\]; got 2"):
        CookieElimination(delusion=2)


def test_worlds_are_found_from_the_package():
    assert mesa_env.worlds is worlds

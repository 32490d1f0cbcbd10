"""Each experiment supports each claim of its page, and its page is refused when it does not."""

from __future__ import annotations

import dataclasses
import functools
import pkgutil

import numpy as np
import pytest

from mesa_env.worlds import CookieElimination, make_world, plan
from scripts.experiments import EXPERIMENTS, deception, deluded_training, diversity, goal_rules, learners
from scripts.experiments.page import MISSING, claims_of, read_template, render

SLOW = ("misconception", "learnable_discount", "hidden_deployment", "diversity", "deception", "optimizers")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in EXPERIMENTS]


@functools.cache
def compute(name):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(diversity, "CELLS", 11)  # these two take a minute each with all of their own
        patched.setattr(deception, "SHARES", np.linspace(0, 1, 26))
        return pkgutil.resolve_name(f"scripts.experiments.{EXPERIMENTS[name]}")()


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_supports_its_page_and_no_page_if_a_claim_is_false(name):
    found, template = compute(name), read_template(name)
    section = render(template, found)
    assert "nan" not in section.lower().replace("nance", "")
    assert set(found.claims) == set(claims_of(template))
    for claim in found.claims:
        changed = dataclasses.replace(found, claims=found.claims | {claim: False})
        with pytest.raises(ValueError, match=f"do not support the claim '{claim}'"):
            render(template, changed)


@pytest.mark.parametrize("name", ["infinite_horizon", "decoupling", "neural"])
def test_an_experiment_does_without_any_learners(name, monkeypatch, tmp_path):
    monkeypatch.setattr(learners, "RECORDED", tmp_path)
    found = pkgutil.resolve_name(f"scripts.experiments.{EXPERIMENTS[name]}")()
    assert found.learners == "missing"
    section = render(read_template(name), found)
    assert MISSING in section
    assert "nan" not in section.lower().replace("nance", "")
    assert len(found.figure.axes) >= 3


def test_the_stationary_equilibrium_of_training_forever():
    table = compute("infinite_horizon").tables["stationary"]
    assert table["c"][1.0, 0.9] == pytest.approx(0.215468, abs=5e-7)
    assert (table["others"] == 0).all()


class TestConserved:
    @pytest.mark.parametrize(
        ("world", "updates", "training", "deployed"),
        [
            ("TableWiping", 8, 2.684, 1.835),
            ("TableWiping", 1000, 2.998, 2.617),
            ("CrumbVacuuming", 1000, 3.998, -0.007),
            ("TableSetting", 300, 1.971, 0.009),
            ("CookieElimination", 1000, 3.997, 3.997),
        ],
    )
    def test_returns_are_those_found_independently(self, world, updates, training, deployed):
        row = compute("conserved").tables["returns"].loc[world, updates]
        assert row["training"] == pytest.approx(training, abs=5e-4)
        assert row["deployed"] == pytest.approx(deployed, abs=5e-4)

    def test_limits_in_closed_form(self):
        limit = compute("conserved").tables["limits"]["limit"]
        spilled, clean = 48 * np.exp(2), 582  # plans that clean all cells, with a spill and without
        assert limit["TableWiping", "proxy"] == pytest.approx((2 * spilled + 3 * clean) / (spilled + clean))
        assert limit["TableSetting", "proxy"] == pytest.approx(2 * 2 / (2 + 2 * 211))


class TestValueLearning:
    @pytest.mark.parametrize("diversity", [0.0, 1.0])
    def test_behavior_is_as_found_independently(self, diversity):
        game = goal_rules.make_game("CrumbVacuuming", "behavior", diversity, rate=0.3)
        row = goal_rules.solve(game).loc[0]
        known = {0.0: (3.718, -0.489, 0.700, 2.700), 1.0: (3.178, -0.845, 0.275, 2.007)}[diversity]
        fields = ["training_strategic", "deployed_strategic", "theta_1_strategic", "theta_2_strategic"]
        assert row[fields].to_numpy() == pytest.approx(known, abs=5e-4)

    @pytest.mark.parametrize("world", goal_rules.WORLDS)
    def test_off_policy_goals_obey_a_linear_recursion(self, world):
        covariance = plan(make_world(world, deployed=True).plans(), (0, 0)).covariance
        row = goal_rules.solve(goal_rules.make_game(world, "off-policy", 1.0)).loc[0]
        labels, away = np.array([1.0, 0.0]), np.array([-1.0, 2.0])
        left = np.linalg.matrix_power(np.eye(2) - goal_rules.RATE * covariance, 8) @ away
        for who in ("sincere", "myopic", "strategic"):
            assert row[[f"theta_1_{who}", f"theta_2_{who}"]].to_numpy() == pytest.approx(labels + left)


class TestDelusion:
    def test_it_is_as_found_independently(self):
        ratios = compute("delusion").tables["ratios"]
        fields = ["kappa", "theta_1", "theta_2", "deluded", "truth"]
        assert ratios.loc[0.0, fields].to_numpy() == pytest.approx([0, 2.944, 2, 3.785, 3.785], abs=5e-4)
        assert ratios.loc[1.0, fields].to_numpy() == pytest.approx([1, 1.156, 2.742, 3.880, 0.743], abs=5e-4)

    @pytest.mark.parametrize("diverse", [False, True])
    def test_training_is_that_in_worlds_with_the_delusion(self, diverse):
        goals, kappa = deluded_training.train(np.array([0.1]), 6, delusion=0.2, diverse=diverse)
        goal, level, step = np.array([0.0, 2.0]), 0.2, 1e-6

        def base(goal, level):
            return plan(CookieElimination(diverse, level).plans(), goal).base

        for n in range(7):
            assert goals[n, 0] == pytest.approx(goal, abs=1e-6)
            assert kappa[n, 0] == pytest.approx(level, abs=1e-6)
            slope = (base(goal, level + step) - base(goal, level - step)) / (2 * step)
            pushed = 0.3 * plan(CookieElimination(diverse, level).plans(), goal).gradient
            goal, level = goal + pushed, level + 0.1 * 0.3 * slope

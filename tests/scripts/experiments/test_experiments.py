"""Each experiment supports each claim of its page, and its page is refused when it does not."""

from __future__ import annotations

import dataclasses
import functools
import pkgutil

import pytest

from scripts.experiments import EXPERIMENTS, learners
from scripts.experiments.page import MISSING, claims_of, read_template, render

SLOW = ("misconception", "learnable_discount", "hidden_deployment", "diversity", "deception")
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in EXPERIMENTS]


@functools.cache
def compute(name):
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

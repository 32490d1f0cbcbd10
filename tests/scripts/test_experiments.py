"""The experiments run as `scripts/reproduce.py` runs them, and say only what their numbers support."""

from __future__ import annotations

import pytest

from scripts.experiments import EXPERIMENTS, finding, neural
from scripts.experiments.finding import confirmed


@pytest.fixture
def untrained(monkeypatch, tmp_path):
    """A checkout in which `make variants` has not been run."""
    monkeypatch.setattr(finding, "TRAINED", tmp_path)
    monkeypatch.setattr(neural, "TRAINED", tmp_path)


@pytest.mark.parametrize("name", ["infinite_horizon", "decoupling", "neural"])
def test_an_experiment_does_without_trained_learners(name, untrained):
    found = EXPERIMENTS[name]()
    section = found.section(name)
    assert "make variants" in section
    assert "nan" not in section.lower().replace("nance", "")
    assert all(answer.question.endswith("?") and answer.answer.endswith(".") for answer in found.answers)
    assert set(found.shown) <= set(found.tables)
    assert len(found.figure.axes) >= 3


def test_the_stationary_equilibrium_is_in_the_tables_of_the_infinite_horizon(untrained):
    table = EXPERIMENTS["infinite_horizon"]().tables["stationary"].set_index(["η", "γ"])
    assert table.loc[(1.0, 0.9), "c"] == pytest.approx(0.215468, abs=5e-7)
    assert (table["other stationary c"] == 0).all()


def test_what_the_numbers_do_not_support_is_not_said():
    assert confirmed("It rises.", True) == "It rises."
    with pytest.raises(ValueError, match="no longer support: It rises"):
        confirmed("It rises.", False)

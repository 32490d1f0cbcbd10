"""Agents by name."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

import agents
import mesa_env
from mesa_env.solutions.hidden_deployment import FilteringOracle
from mesa_env.solutions.learnable_discount import NaivePlanner
from tests.conftest import ONE_OF_EACH_KIND, every_kind, goals_of

OWN = {"LearnableDiscount": ("naive",), "HiddenDeployment": ("filtering",), "GoalTraining": ("sincere",)}


def test_variants_have_agents_of_their_own():
    hidden = dataclasses.replace(ONE_OF_EACH_KIND["HiddenDeployment"], observed="signal")
    assert type(agents.make("naive", ONE_OF_EACH_KIND["LearnableDiscount"])) is NaivePlanner
    assert type(agents.make("filtering", hidden)) is FilteringOracle
    with pytest.raises(ValueError, match="needs a game with observed='signal'; got 'belief'"):
        agents.make("filtering", ONE_OF_EACH_KIND["HiddenDeployment"])


@every_kind
@pytest.mark.parametrize("agent", ["naive", "filtering", "nobody"])
def test_refusals_list_the_agents_of_the_game(name, agent):
    names = agents.NAMES if name == "DeceptiveAlignment" else agents.VARIANT_NAMES
    own = OWN.get(name, ())
    if agent in own:
        return
    message = f"agents are named {', '.join((*names, *own))}; got {agent!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agents.make(agent, ONE_OF_EACH_KIND[name])


@every_kind
@pytest.mark.parametrize("agent", agents.VARIANT_NAMES)
def test_named_agents_play_whole_games_of_every_variant(name, agent):
    game = ONE_OF_EACH_KIND[name]
    played = mesa_env.rollout(game, agents.make(agent, game), goals_of(game, 0.8, -0.3, 0.0))
    length = np.isfinite(played.coefficients).sum(axis=1)
    assert played.outputs.shape[:2] == (3, played.coefficients.shape[1])
    bound = getattr(game, "coefficient_bound", 1.0)
    assert (np.abs(played.coefficients[np.isfinite(played.coefficients)]) <= bound).all()
    if name == "InfiniteHorizon":
        assert len(set(length)) > 1
        assert (length >= 1).all()
    else:
        np.testing.assert_array_equal(length, game.episodes)
    for row in range(3):
        assert np.isfinite(played.goals[row, : length[row] + 1]).all()


@pytest.mark.parametrize("name", [name for name in ONE_OF_EACH_KIND if name != "DeceptiveAlignment"])
@pytest.mark.parametrize("agent", ["grid", "precommitment", "best_of_2", "best_of_8", "best_of_64"])
def test_agents_that_know_only_the_base_game_are_refused_elsewhere(name, agent):
    named = ", ".join((*agents.VARIANT_NAMES, *OWN.get(name, ())))
    message = f"{agent} knows only the base game; agents of {name} are named {named}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        agents.make(agent, ONE_OF_EACH_KIND[name])


def test_variants_lack_only_the_agents_that_know_the_base_game():
    assert set(agents.NAMES) - set(agents.VARIANT_NAMES) == {
        "grid",
        "precommitment",
        "best_of_2",
        "best_of_8",
    }
    assert set(agents.VARIANT_NAMES) < set(agents.NAMES)

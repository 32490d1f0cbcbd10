"""Games as plain parameters: there and back, partial schedules, and what is refused."""

import json
import re
from dataclasses import dataclass, fields

import numpy as np
import pytest

from mesa_env import (
    GAMES,
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    train_then_deploy,
)
from mesa_env.rules.parameters import build_game, describe_game
from mesa_env.validation import did_you_mean


@pytest.mark.parametrize("rules", GAMES)
@pytest.mark.parametrize("initial_goal", [0.3, (-0.5, 0.25)])
def test_a_game_survives_the_way_through_json(rules, initial_goal):
    if rules == "GoalTraining":
        initial_goal = np.add.outer(initial_goal, [0, 0.5])
    game = GAMES[rules](initial_goal=initial_goal, discount=0.75, regularization=0.1)
    described = json.loads(json.dumps(describe_game(game)))
    assert described["rules"] == rules
    assert described["learning_rates"] == game.learning_rates.tolist()
    assert list(described) == ["rules", *(field.name for field in fields(game))]
    again = build_game(described)
    assert type(again) is type(game)
    assert again == game
    for field in fields(game):
        assert np.array_equal(getattr(again, field.name), getattr(game, field.name))


def test_pairs_of_variants_survive_it_too():
    for game in (Misconception(initial_belief=(-0.2, 0.1)), LearnableDiscount(discount=(0.3, 0.8))):
        assert build_game(json.loads(json.dumps(describe_game(game)))) == game


def test_a_description_holds_only_what_json_has():
    assert json.loads(json.dumps(describe_game(Game()))) == describe_game(Game())


@pytest.mark.parametrize("rules", GAMES)
def test_missing_parameters_have_the_defaults_of_the_game(rules):
    assert build_game({"rules": rules}) == GAMES[rules]()
    assert build_game({"rules": rules, "initial_goal": [-1, 1]}) == GAMES[rules](initial_goal=(-1, 1))


def test_the_base_game_is_the_default():
    assert build_game({}) == Game()


@pytest.mark.parametrize(
    ("parameters", "game"),
    [
        ({"train": 3}, Game(train_then_deploy(3, 80))),
        ({"deploy": 0}, Game(train_then_deploy(20, 0))),
        ({"learning_rate": 0.5}, Game(train_then_deploy(20, 80, 0.5))),
        ({"rules": "Misconception", "train": 3}, Misconception(train_then_deploy(3, 20, 0.1))),
        ({"rules": "Misconception", "learning_rate": 0.2}, Misconception(train_then_deploy(5, 20, 0.2))),
        ({"rules": "HiddenDeployment", "train": 7}, HiddenDeployment(train_then_deploy(7, 0))),
        ({"rules": "HiddenDeployment", "deploy": 2}, HiddenDeployment(train_then_deploy(40, 2))),
        ({"rules": "LearnableDiscount", "deploy": 4}, LearnableDiscount(train_then_deploy(20, 4, 0.1))),
        ({"rules": "InfiniteHorizon", "train": 3}, InfiniteHorizon(train_then_deploy(3, 1))),
        ({"rules": "InfiniteHorizon", "train": 1, "deploy": 0}, InfiniteHorizon([1.0])),
        ({"rules": "InfiniteHorizon", "learning_rate": 0.5}, InfiniteHorizon(train_then_deploy(20, 1, 0.5))),
        ({"rules": "Decoupling", "learning_rates": [0.5, 0, 1]}, Decoupling([0.5, 0, 1])),
        ({"learning_rates": [0.5, 0, 1], "train": 9}, Game([0.5, 0, 1])),
    ],
)
def test_partial_schedules_keep_the_rest_of_the_default_schedule(parameters, game):
    assert build_game(parameters) == game


@pytest.mark.parametrize(
    ("rules", "unknown", "value"),
    [
        ("DeceptiveAlignment", "hazard", 0.1),
        ("DeceptiveAlignment", "max_episodes", 10),
        ("Misconception", "decoupling", 0.1),
        ("LearnableDiscount", "belief_learning_rate", 0.1),
        ("HiddenDeployment", "initial_belief", (0.1, 0.2)),
        ("InfiniteHorizon", "observed", "signal"),
        ("Decoupling", "discount_learning_rate", 1.0),
    ],
)
def test_a_parameter_of_another_game_is_refused_and_those_of_this_one_are_listed(rules, unknown, value):
    known = ", ".join(field.name for field in fields(GAMES[rules]))
    message = f"{rules} has no parameter {unknown!r}; it has {known}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        build_game({"rules": rules, unknown: value})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"trian": 3}, r"has no parameter 'trian'; .* \(did you mean 'train'\?\)$"),
        (
            {"rules": "Misconceptions"},
            r"^rules must be one of .*; got .* \(did you mean 'Misconception'\?\)$",
        ),
        ({"rules": [1]}, r"^rules must be one of .*; got \(1,\)$"),
        ({"train": -1}, r"train .*-1"),
        ({"train": "3"}, r"train .*'3'"),
        ({"initial_goal": [1, -1]}, "initial_goal.*ascending"),
        ({"discount": [0.2, 0.8]}, "discount must be a finite number"),
        ([1, 2], "must be a mapping"),
    ],
)
def test_invalid_parameters_are_refused_in_one_sentence(parameters, message):
    with pytest.raises(ValueError, match=message) as refusal:
        build_game(parameters)
    assert "\n" not in str(refusal.value)


def test_games_that_nobody_can_build_by_name_are_not_described():
    @dataclass(frozen=True, eq=False)
    class Homemade(Game):
        pass

    with pytest.raises(ValueError, match=r"^a game must be one of DeceptiveAlignment, .*; got .*Homemade"):
        describe_game(Homemade())


def test_the_closest_name_is_suggested():
    assert did_you_mean("trian", ["train", "deploy"]) == " (did you mean 'train'?)"
    assert did_you_mean("zebra", ["train", "deploy"]) == ""
    assert did_you_mean(3, ["train"]) == ""

"""The commands with variants: games by their numbers, findings and the document of all results, training."""

from __future__ import annotations

import dataclasses
import json
import re
import typing

import numpy as np
import pandas as pd
import pytest
import tyro

import agents
import mesa_env
from agents.learning import neural
from agents.learning.neural import NeuralSettings
from agents.learning.settings import PPOSettings
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
from scripts import evaluate, train, train_neural
from scripts.arguments import GameArguments


def refused(capsys, command, *arguments):
    """Standard error of a command that must end with exit code 2 before it does any work."""
    with pytest.raises(SystemExit) as exit_:
        command(*arguments)
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


# -- Games by their numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", GAMES)
def test_what_is_not_given_is_as_the_game_s_own_defaults_have_it(rules):
    assert GameArguments(rules=rules).build((0.8,)) == GAMES[rules]()
    assert GameArguments(rules=rules).build((-1, 1)) == GAMES[rules](initial_goal=(-1, 1))


def test_every_game_can_be_named():
    hints = typing.get_type_hints(GameArguments)
    assert set(typing.get_args(hints["rules"])) == set(GAMES)


def test_every_parameter_of_every_game_can_be_given_but_one():
    """But for the base game's initial goal, which the commands ask for on their own; and for `ends`."""
    offered = {argument.name for argument in dataclasses.fields(GameArguments)}
    for kind in GAMES.values():
        parameters = {parameter.name for parameter in dataclasses.fields(kind)}
        assert parameters - offered <= {"initial_goal", "ends"}


@pytest.mark.parametrize(
    ("arguments", "game"),
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
        ({"rules": "Decoupling", "learning_rates": (0.5, 0, 1)}, Decoupling([0.5, 0, 1])),
        ({"learning_rates": (0.5, 0, 1), "train": 9}, Game([0.5, 0, 1])),
    ],
)
def test_partial_schedules_keep_the_rest_of_the_game_s_own(arguments, game):
    assert GameArguments(**arguments).build((0.8,)) == game


@pytest.mark.parametrize(
    ("rules", "parameters"),
    [
        ("InfiniteHorizon", {"max_episodes": 150, "discount": 0.9}),
        ("Misconception", {"belief_learning_rate": 0.5, "initial_belief": 0.1}),
        ("Misconception", {"initial_belief": (-0.2, 0.1)}),
        ("LearnableDiscount", {"discount": (0.3, 0.8), "discount_learning_rate": 0.5}),
        ("LearnableDiscount", {"discount": 0.5}),
        ("HiddenDeployment", {"hazard": 0.2, "shift": 2.0, "observed": "signal"}),
        ("Decoupling", {"decoupling": 0.1, "regularization": 0.2, "coefficient_bound": 1.0}),
    ],
)
def test_variants_take_their_own_parameters(rules, parameters):
    assert GameArguments(rules=rules, **parameters).build((0.8,)) == GAMES[rules](**parameters)


@pytest.mark.parametrize(
    ("rules", "stranger", "value"),
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
def test_a_parameter_of_another_variant_is_refused_and_this_one_s_are_named(rules, stranger, value):
    own = ", ".join(parameter.name for parameter in dataclasses.fields(GAMES[rules]))
    with pytest.raises(
        ValueError, match=f"^{stranger} is no parameter of {rules}, whose are {re.escape(own)}$"
    ):
        GameArguments(rules=rules, **{stranger: value}).build((0.8,))


@pytest.mark.parametrize("rules", [name for name in GAMES if name != "LearnableDiscount"])
def test_a_pair_of_discounts_is_refused_where_discounts_are_not_drawn(rules):
    with pytest.raises(ValueError, match="discount must be a finite number"):
        GameArguments(rules=rules, discount=(0.2, 0.8)).build((0.8,))


@pytest.mark.parametrize(
    ("line", "game"),
    [
        ("--rules Misconception --initial-belief 0.1 0.2", Misconception(initial_belief=(0.1, 0.2))),
        ("--rules LearnableDiscount --discount 0.2 0.8", LearnableDiscount(discount=(0.2, 0.8))),
        ("--rules LearnableDiscount --discount 0.2", LearnableDiscount(discount=0.2)),
        ("--rules HiddenDeployment --observed signal", HiddenDeployment(observed="signal")),
        ("--train 2 --deploy 3", Game(train_then_deploy(2, 3))),
    ],
)
def test_games_can_be_named_on_the_command_line(line, game):
    assert tyro.cli(GameArguments, args=line.split()).build((0.8,)) == game


# -- train.py ---------------------------------------------------------------------------------------------

TINY = {
    "Misconception": GameArguments(rules="Misconception", train=2, deploy=2, initial_belief=(-0.3, 0.3)),
    "InfiniteHorizon": GameArguments(
        rules="InfiniteHorizon", train=1, deploy=0, discount=0.5, max_episodes=8
    ),
}


@pytest.mark.parametrize("rules", TINY)
def test_a_tiny_training_of_a_variant_from_its_arguments_to_its_evaluation(
    rules, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(train, "EVERY", 1), monkeypatch.setattr(train, "SELDOM", 1)
    out, game = tmp_path / "run", TINY[rules].build((0.8,))
    settings = PPOSettings(turns=16 * game.episodes * 3, games=16, hidden=8, epochs=1, minibatches=1)
    train.main(train.Arguments(game=TINY[rules], settings=settings, out=out))
    written = json.loads((out / "game.json").read_text())
    assert written["rules"] == rules
    assert written["learning_rates"] == game.learning_rates.tolist()
    assert set(written) - {"rules"} == {parameter.name for parameter in dataclasses.fields(game)}
    model = agents.load(out / "model.zip")
    assert model.num_timesteps == settings.turns
    assert not (out / "checkpoint.zip").exists()
    table = pd.read_csv(out / "evaluation.csv").set_index("agent")
    assert list(table.index) == ["equilibrium", "learned"]
    assert table["relative_exploitability"]["learned"] > table["relative_exploitability"]["equilibrium"]
    again = mesa_env.compare(game, {"learned": model}, [0.8])
    assert table["mesa_cost"]["learned"] == pytest.approx(again["mesa_cost"].item())
    curve = pd.read_csv(out / "learning_curve.csv")
    assert curve["turns"].tolist() == [settings.turns // 3 * n for n in (1, 2, 3)]
    assert np.isfinite(curve["relative_exploitability"]).all()
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "equilibrium" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("game", "settings", "words"),
    [
        (GameArguments(rules="Misconception", hazard=0.1), {}, "hazard is no parameter of Misconception"),
        (GameArguments(rules="Misconception"), {"games": 12}, "games must be a multiple of group_size"),
        (
            GameArguments(rules="InfiniteHorizon", train=1, max_episodes=20),
            {},
            "max_episodes must leave 229 episodes to settle costs in at discount 0.99",
        ),
    ],
)
def test_trainings_that_cannot_be_are_refused_before_any_work(tmp_path, capsys, game, settings, words):
    arguments = train.Arguments(game=game, settings=PPOSettings(**settings), out=tmp_path / "run")
    assert words in refused(capsys, train.main, arguments)
    assert not (tmp_path / "run" / "config.json").exists()


# -- evaluate.py ------------------------------------------------------------------------------------------

SMALL = {rules: GameArguments(rules=rules, train=2, deploy=2) for rules in GAMES} | {
    "InfiniteHorizon": GameArguments(rules="InfiniteHorizon", train=2, discount=0.5, max_episodes=8)
}


@pytest.mark.parametrize("rules", GAMES)
def test_every_game_s_agents_can_be_compared(rules, tmp_path):
    arguments = evaluate.Arguments(agents=("myopic", "guard"), game=SMALL[rules], games=3, out=tmp_path)
    evaluate.main(arguments)
    games = pd.read_csv(tmp_path / "games.csv")
    game = SMALL[rules].build((-1.0, 1.0))
    goals = games.query("agent == 'guard'")["initial_goal"]
    again = mesa_env.compare(game, {"guard": agents.make("guard", game)}, goals)
    on_file = games.query("agent == 'guard'")["mesa_cost"]
    np.testing.assert_allclose(on_file, again["mesa_cost"], rtol=1e-12)
    assert json.loads((tmp_path / "game.json").read_text())["rules"] == type(game).__name__
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_seed_decides_chance_within_games(tmp_path):
    game, costs = GameArguments(rules="HiddenDeployment", train=4), {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        arguments = evaluate.Arguments(
            agents=("myopic",), game=game, initial_goal=(0.8,), games=8, seed=seed, out=tmp_path / name
        )
        evaluate.main(arguments)
        table = pd.read_csv(tmp_path / name / "games.csv")
        assert (table["initial_goal"] == 0.8).all()
        costs[name] = table["mesa_cost"].to_numpy()
    np.testing.assert_array_equal(costs["a"], costs["b"])
    assert len(np.unique(costs["a"])) > 1
    assert (costs["a"] != costs["c"]).any()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of tiny models: one trained in the base game, one in a variant, and a neural policy."""
    folder, paths = tmp_path_factory.mktemp("models"), {}
    for rules in ("DeceptiveAlignment", "Misconception"):
        game = SMALL[rules].build((-1.0, 1.0))
        settings = PPOSettings(turns=8 * game.episodes, games=8, hidden=4, epochs=1, minibatches=1)
        train.train(train.Arguments(game=SMALL[rules], settings=settings, out=folder / rules))
        paths[rules] = folder / rules / "model.zip"
    policy = neural.train_neural(Decoupling([1.0, 0.0]), NeuralSettings(iterations=0, hidden=(4,)), 0)
    neural.save(policy, folder / "policy.pt")
    return {**paths, "Decoupling": folder / "policy.pt"}


@pytest.mark.parametrize(
    ("trained_in", "rules"),
    [
        ("DeceptiveAlignment", "Misconception"),  # it sees less than the game shows
        ("Misconception", "DeceptiveAlignment"),
        ("DeceptiveAlignment", "Decoupling"),  # it does less than the game asks
        ("Decoupling", "DeceptiveAlignment"),
        ("Decoupling", "Misconception"),
    ],
)
def test_a_model_that_does_not_fit_the_game_is_refused_before_any_work(
    models, tmp_path, capsys, trained_in, rules
):
    path = models[trained_in]
    for entry in (str(path), f"label={models.get(rules, 'guard')},{path}"):
        arguments = evaluate.Arguments(agents=("guard", entry), game=SMALL[rules], out=tmp_path / "out")
        message = refused(capsys, evaluate.main, arguments)
        kind = GAMES[rules].__name__
        assert f"{path} must play {kind}; it does not: " in message
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rules", ["DeceptiveAlignment", "Misconception", "Decoupling"])
def test_a_model_that_fits_is_evaluated_as_it_is(models, tmp_path, rules):
    path = models[rules]
    arguments = evaluate.Arguments(agents=(f"mine={path}",), game=SMALL[rules], games=2, out=tmp_path)
    evaluate.main(arguments)
    games, game = pd.read_csv(tmp_path / "games.csv"), SMALL[rules].build((-1.0, 1.0))
    model = neural.load(path) if rules == "Decoupling" else agents.load(path)
    again = mesa_env.compare(game, {"mine": model}, games["initial_goal"])
    np.testing.assert_allclose(games["mesa_cost"], again["mesa_cost"], rtol=1e-6)


@pytest.mark.parametrize(
    ("rules", "name", "words"),
    [
        ("Misconception", "grid", "grid knows only the base game; agents of Misconception are named"),
        ("HiddenDeployment", "filtering", "a filter needs a game with observed='signal'; got 'belief'"),
        ("Decoupling", "naive", "agents are named"),
    ],
)
def test_an_agent_that_does_not_know_the_game_is_refused_before_any_work(
    tmp_path, capsys, rules, name, words
):
    arguments = evaluate.Arguments(agents=(name,), game=SMALL[rules], out=tmp_path / "out")
    assert words in refused(capsys, evaluate.main, arguments)
    assert not (tmp_path / "out").exists()


def test_an_agent_has_drawn_nothing_before_its_games(tmp_path):
    """To see whether it fits costs it none of its draws."""
    arguments = evaluate.Arguments(agents=("random",), initial_goal=(0.8,), games=1, seed=5, out=tmp_path)
    evaluate.main(arguments)
    first = mesa_env.rollout(Game(), agents.make("random", Game(), seed=5), [0.8]).coefficients[0, 0]
    assert pd.read_csv(tmp_path / "games.csv")["c_first"].item() == pytest.approx(first, rel=1e-6)


# -- train_neural.py --------------------------------------------------------------------------------------

NEURAL = GameArguments(rules="Decoupling", train=2, deploy=2, decoupling=10.0)


def tiny_network(out, **changes):
    settings = NeuralSettings(iterations=3, games=2, hidden=(4,))
    return train_neural.Arguments(**{"game": NEURAL, "settings": settings, "out": out, **changes})


def test_a_tiny_network_from_its_arguments_to_its_evaluation(tmp_path, capsys):
    out = tmp_path / "run"
    train_neural.main(tiny_network(out))
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "environment.json",
        "evaluation.csv",
        "figure.png",
        "game.json",
        "policy.pt",
        "training.csv",
    }
    config, written = (json.loads((out / f"{name}.json").read_text()) for name in ("config", "game"))
    assert config["command"] == "train_neural"
    assert config["settings"]["iterations"] == 3
    assert (written["rules"], written["decoupling"], written["initial_goal"]) == ("Decoupling", 10, [-1, 1])
    policy, game = neural.load(out / "policy.pt"), NEURAL.build((0.8,))
    again = neural.train_neural(NEURAL.build((-1.0, 1.0)), tiny_network(out).settings, 0)
    costs = pd.read_csv(out / "training.csv")["mean relative cost"]
    assert len(costs) == 3
    assert (costs > 0).all()
    contestants = {"equilibrium": mesa_env.oracle(game), "network": again}
    table = pd.read_csv(out / "evaluation.csv").set_index("agent")
    expected = mesa_env.compare(game, contestants, [0.8]).set_index("agent")
    np.testing.assert_allclose(table["mesa_cost"], expected["mesa_cost"], rtol=1e-6)
    unknown = ["nash_conv", "relative_exploitability"]
    assert table.loc["network", unknown].isna().all()
    np.testing.assert_allclose(table.loc["equilibrium", unknown], 0, atol=1e-9)
    seen = game.observe(game.start(np.zeros((3, 0)), np.array([0.8, -0.3, 0.0])))
    np.testing.assert_array_equal(policy.predict(seen)[0], again.predict(seen)[0])
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "network" in capsys.readouterr().out


def test_a_network_trained_by_the_command_is_evaluated_by_the_other(tmp_path):
    train_neural.main(tiny_network(tmp_path / "run", evaluation_goal=0.5))
    entry = str(tmp_path / "run" / "policy.pt")
    game = tyro.cli(GameArguments, args=["--rules", "Decoupling", "--train", "2", "--deploy", "2"])
    arguments = evaluate.Arguments(agents=(entry,), game=game, initial_goal=(0.5,), out=tmp_path / "out")
    evaluate.main(arguments)
    tables = [pd.read_csv(tmp_path / name) for name in ("run/evaluation.csv", "out/games.csv")]
    costs = [table.set_index("agent")["mesa_cost"] for table in tables]
    assert costs[0]["network"] == pytest.approx(costs[1][entry], rel=1e-12)


def test_a_network_is_trained_anew_in_the_folder_of_an_earlier_one(tmp_path):
    curves = []
    for seed in (0, 1, 0):
        train_neural.main(tiny_network(tmp_path, seed=seed))
        curves.append((tmp_path / "training.csv").read_text())
    assert curves[0] == curves[2] != curves[1]


@pytest.mark.parametrize("rules", [rules for rules in GAMES if rules != "Decoupling"])
def test_networks_play_no_other_game(tmp_path, capsys, rules):
    arguments = tiny_network(tmp_path / "run", game=SMALL[rules])
    message = refused(capsys, train_neural.main, arguments)
    assert message == f"error: a neural policy plays Decoupling; got {rules}"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["model.zip", "checkpoint.zip"])
def test_the_folder_of_another_kind_of_run_is_left_alone(tmp_path, capsys, file):
    (tmp_path / file).write_bytes(b"a run")
    message = refused(capsys, train_neural.main, tiny_network(tmp_path))
    assert message == f"error: {tmp_path} holds another kind of run: name another --out"
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed must be a whole number ≥ 0; got -1"),
        ({"evaluation_goal": 50.0}, "initial_goal"),
        ({"initial_goal": (1.0, -1.0)}, "initial_goal"),
        ({"game": dataclasses.replace(NEURAL, decoupling=-1.0)}, "decoupling"),
    ],
)
def test_networks_that_cannot_be_are_refused_before_any_work(tmp_path, capsys, changes, words):
    message = refused(capsys, train_neural.main, tiny_network(tmp_path / "run", **changes))
    assert words in message
    assert not (tmp_path / "run").exists()

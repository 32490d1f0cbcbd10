"""Training a neural policy by the command: its run folder and its refusals."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import tyro

import mesa_env
from agents.learning import neural
from agents.learning.settings import NeuralSettings
from mesa_env import GAMES
from scripts import evaluate, train_neural
from scripts.game_arguments import GameArguments
from tests.conftest import refused

NEURAL = GameArguments(rules="Decoupling", train=2, deploy=2, decoupling=10.0)


def tiny_network(out, **changes):
    settings = NeuralSettings(iterations=3, games=2, hidden=(4,))
    return train_neural.Arguments(**{"game": NEURAL, "settings": settings, "out": out, **changes})


def test_a_tiny_network_from_its_arguments_to_its_evaluation(tmp_path, capsys):
    out = tmp_path / "run"
    train_neural.main(tiny_network(out))
    assert {path.name for path in out.iterdir() if path.name != ".lock"} == {
        "config.json",
        "environment.json",
        "evaluation.csv",
        "figure.png",
        "game.json",
        "policy.pt",
        "training.csv",
        "written_files.json",
    }
    config, written = (json.loads((out / f"{name}.json").read_text()) for name in ("config", "game"))
    assert config["command"] == "train_neural"
    assert config["settings"]["iterations"] == 3
    assert (written["rules"], written["decoupling"], written["initial_goal"]) == ("Decoupling", 10, [-1, 1])
    policy, game = neural.load(out / "policy.pt"), NEURAL.build((0.8,))
    again = neural.train_policy(NEURAL.build((-1.0, 1.0)), tiny_network(out).settings, 0)
    costs = pd.read_csv(out / "training.csv")["mean relative cost"]
    assert len(costs) == 3
    assert (costs > 0).all()
    contestants = {"equilibrium": mesa_env.oracle(game), "network": again}
    table = pd.read_csv(out / "evaluation.csv").set_index("agent")
    expected = pd.DataFrame(mesa_env.compare(game, contestants, [0.8])).set_index("agent")
    np.testing.assert_allclose(table["mesa_cost"], expected["mesa_cost"], rtol=1e-6)
    unknown = ["nash_conv", "relative_exploitability"]
    assert table.loc["network", unknown].isna().all()
    np.testing.assert_allclose(table.loc["equilibrium", unknown], 0, atol=1e-9)
    seen = game.observe(game.start(np.zeros((3, 0)), np.array([0.8, -0.3, 0.0])))
    np.testing.assert_array_equal(policy.predict(seen)[0], again.predict(seen)[0])
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "network" in capsys.readouterr().out


def test_a_network_trained_by_the_command_is_evaluated_by_the_other(tmp_path):
    train_neural.main(tiny_network(tmp_path / "run", evaluation_goal=(0.5,)))
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
    arguments = tiny_network(tmp_path / "run", game=GameArguments(rules=rules, train=2))
    message = refused(capsys, train_neural.main, arguments)
    assert message == f"error: a neural policy plays Decoupling; got {rules}"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", ["model.zip", "checkpoint.zip"])
def test_the_folder_of_another_kind_of_run_is_left_alone(tmp_path, capsys, file):
    (tmp_path / file).write_bytes(b"a run")
    message = refused(capsys, train_neural.main, tiny_network(tmp_path))
    words = "a run must start in a new or empty folder, or one of its own"
    assert message == f"error: {words}; {tmp_path} holds {file!r}"
    assert [path.name for path in tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed must be a whole number in 0…4294967295; got -1"),
        ({"evaluation_goal": (50.0,)}, "initial_goal"),
        ({"initial_goal": (1.0, -1.0)}, "initial_goal"),
        ({"game": dataclasses.replace(NEURAL, decoupling=-1.0)}, "decoupling"),
    ],
)
def test_bad_networks_are_refused_before_any_work(tmp_path, capsys, changes, words):
    message = refused(capsys, train_neural.main, tiny_network(tmp_path / "run", **changes))
    assert words in message
    assert not (tmp_path / "run").exists()

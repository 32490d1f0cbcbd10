"""Training by the command: its run folder, its refusals, and runs that were killed."""

import dataclasses
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

import agents
import mesa_env
from agents.benchmark.run_folder import RunFolder
from agents.learning import training
from agents.learning.settings import PPOSettings
from scripts import train
from scripts.game_arguments import GameArguments
from tests.conftest import refused

GAME = GameArguments(train=3, deploy=5)
TINY = PPOSettings(turns=8 * 8 * 30, games=8, hidden=8)


def tiny_training(out, **changes):
    return train.Arguments(**{"game": GAME, "settings": TINY, "out": out, **changes})


def learn(arguments):
    """Train without an evaluation."""
    with RunFolder(arguments.out, "train", arguments.resume) as folder:
        return train.train_learner(folder, arguments)


def record(out, **changes):
    """A run folder in which nothing but its beginning is recorded."""
    with RunFolder(out, "train") as folder:
        folder.record(tiny_training(out, **changes))


def parameters(path):
    return {name: value.clone() for name, value in agents.load(path).policy.state_dict().items()}


def assert_same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a tiny training run."""
    out = tmp_path_factory.mktemp("train") / "run"
    train.main(tiny_training(out))
    return out


class TestTrain:
    def test_run_folder_says_what_was_run_on_what(self, finished):
        config = json.loads((finished / "config.json").read_text())
        assert config["command"] == "train"
        assert config["game"]["rules"] == "DeceptiveAlignment"
        assert (config["game"]["train"], config["game"]["deploy"]) == (3, 5)
        assert json.loads((finished / "game.json").read_text()) == {
            "rules": "DeceptiveAlignment",
            "learning_rates": [1.0] * 3 + [0.0] * 5,
            "discount": 1.0,
            "regularization": 0.0,
            "coefficient_bound": 2.0,
            "goal_bound": 10.0,
            "initial_goal": [-1.0, 1.0],
        }
        environment = json.loads((finished / "environment.json").read_text())
        assert environment["versions"]["numpy"] == np.__version__

    def test_model_is_an_agent_whose_evaluation_is_the_table_on_file(self, finished):
        game = GAME.build((0.8,))
        measured = mesa_env.compare(game, {"learned": agents.load(finished / "model.zip")}, [0.8])
        on_file = pd.read_csv(finished / "evaluation.csv").query("agent == 'learned'")
        assert on_file["nash_conv"].item() == pytest.approx(float(measured["nash_conv"][0]))

    def test_learning_curve_is_logged_against_turns(self, finished):
        curve = pd.read_csv(finished / "learning_curve.csv")
        assert list(curve["turns"]) == [640, 1280, 1920]
        assert (curve["nash_conv"] >= 0).all()
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(next((finished / "tensorboard").iterdir()))).Reload()
        logged = events.Scalars("game/nash_conv")
        assert [event.step for event in logged] == [640, 1280, 1920]
        assert [event.value for event in logged] == pytest.approx(list(curve["nash_conv"]), rel=1e-6)

    def test_a_curve_on_which_nothing_was_measured_has_a_header(self, tmp_path):
        learn(tiny_training(tmp_path, settings=PPOSettings(turns=8 * 8, games=8, hidden=8)))
        curve = pd.read_csv(tmp_path / "learning_curve.csv")
        assert list(curve.columns) == ["turns", *mesa_env.METRICS]
        assert curve.empty

    def test_nothing_half_written_remains(self, finished):
        names = {path.name for path in finished.iterdir()} - {".lock"}
        assert names == {
            "config.json",
            "environment.json",
            "evaluation.csv",
            "figure.png",
            "game.json",
            "learning_curve.csv",
            "model.zip",
            "tensorboard",
            "written_files.json",
        }

    def test_a_finished_run_is_neither_overwritten_nor_resumed(self, finished, capsys):
        before = (finished / "model.zip").read_bytes()
        assert "already holds a run" in refused(capsys, train.main, tiny_training(finished))
        assert "finished" in refused(capsys, train.main, tiny_training(finished, resume=True))
        assert (finished / "model.zip").read_bytes() == before

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"game": GameArguments(train=-1)}, ("train", "-1")),
            ({"game": GameArguments(discount=1.5)}, ("discount", "1.5", "[0, 1]")),
            ({"game": GameArguments(learning_rate=float("nan"))}, ("learning_rate", "nan")),
            ({"initial_goal": (1.0, -1.0)}, ("initial_goal", "(1.0, -1.0)")),
            ({"initial_goal": ()}, ("initial goal", "()")),
            ({"settings": PPOSettings(turns=10, games=8)}, ("turns", "10")),
            ({"resume": True}, ("--resume", "none")),
            ({"evaluation_goal": (50.0,)}, ("initial_goal", "50.0")),
            ({"threads": 0}, ("threads", "0")),
            ({"seed": -1}, ("seed", "-1")),
        ],
    )
    def test_bad_input_is_refused_in_one_sentence(self, tmp_path, capsys, changes, words):
        message = refused(capsys, train.main, tiny_training(tmp_path / "run", **changes))
        assert all(word in message for word in words)
        assert not (tmp_path / "run" / "config.json").exists()

    def test_an_unwritable_folder_is_refused(self, tmp_path, capsys):
        (tmp_path / "file").write_text("not a folder")
        assert "writable" in refused(capsys, train.main, tiny_training(tmp_path / "file" / "run"))

    def test_a_killed_run_resumes_bit_for_bit(self, tmp_path):
        whole, killed = tmp_path / "whole", tmp_path / "killed"
        settings = PPOSettings(turns=8 * 8 * 150, games=8, hidden=8, epochs=1, minibatches=1)
        learn(tiny_training(whole, settings=settings))
        options = ["--game.train=3", "--game.deploy=5", f"--out={killed}"]
        given = {name: value for name, value in dataclasses.asdict(settings).items() if value}
        options += [f"--settings.{name}={value}" for name, value in given.items()]
        command = [sys.executable, "-m", "scripts.train", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (killed / "checkpoint.zip").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (killed / "checkpoint.zip").exists()
        assert not (killed / "model.zip").exists()
        learn(tiny_training(killed, settings=settings, resume=True))
        assert_same(parameters(whole / "model.zip"), parameters(killed / "model.zip"))
        assert (whole / "learning_curve.csv").read_text() == (killed / "learning_curve.csv").read_text()

    def test_resuming_under_other_arguments_is_refused(self, tmp_path, capsys):
        out = tmp_path / "run"
        record(out)
        message = refused(capsys, train.main, tiny_training(out, seed=7, resume=True))
        assert "seed was 0 and is" in message

    def test_a_damaged_checkpoint_is_refused(self, tmp_path, capsys):
        out = tmp_path / "run"
        record(out)
        (out / "checkpoint.zip").write_bytes(b"half a zip")
        assert "checkpoint.zip" in refused(capsys, train.main, tiny_training(out, resume=True))

    @pytest.mark.parametrize("problem", ["initial", "current"])
    def test_controllers_train_by_the_same_command(self, tmp_path, problem):
        model = learn(tiny_training(tmp_path, problem=problem))
        assert model.num_timesteps == TINY.turns
        assert agents.load(tmp_path / "model.zip").num_timesteps == TINY.turns


VARIANTS = {
    "Misconception": GameArguments(rules="Misconception", train=2, deploy=2, initial_belief=(-0.3, 0.3)),
    "InfiniteHorizon": GameArguments(
        rules="InfiniteHorizon", train=1, deploy=0, discount=0.5, max_episodes=8
    ),
}


@pytest.mark.parametrize("rules", VARIANTS)
def test_a_tiny_training_of_a_variant_from_its_arguments_to_its_evaluation(
    rules, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(training, "ROLLOUTS", 1), monkeypatch.setattr(training, "TURNS_SIMULATED", 1)
    out, game = tmp_path / "run", VARIANTS[rules].build((0.8,))
    settings = PPOSettings(turns=16 * game.episodes * 3, games=16, hidden=8, epochs=1, minibatches=1)
    train.main(train.Arguments(game=VARIANTS[rules], settings=settings, out=out))
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
    assert table["mesa_cost"]["learned"] == pytest.approx(float(again["mesa_cost"][0]))
    curve = pd.read_csv(out / "learning_curve.csv")
    assert curve["turns"].tolist() == [settings.turns // 3 * n for n in (1, 2, 3)]
    assert np.isfinite(curve["relative_exploitability"]).all()
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "equilibrium" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("game", "settings", "words"),
    [
        (GameArguments(rules="Misconception", hazard=0.1), {}, "hazard"),
        (GameArguments(rules="Misconception"), {"games": 12}, "games must be a multiple of group_size"),
        (
            GameArguments(rules="InfiniteHorizon", train=1, max_episodes=20),
            {},
            "max_episodes must leave 229 episodes to measure costs in at discount 0.99",
        ),
    ],
)
def test_trainings_that_cannot_be_are_refused_before_any_work(tmp_path, capsys, game, settings, words):
    arguments = train.Arguments(game=game, settings=PPOSettings(**settings), out=tmp_path / "run")
    assert words in refused(capsys, train.main, arguments)
    assert not (tmp_path / "run" / "config.json").exists()

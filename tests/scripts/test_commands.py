"""The commands, as a user calls them: what they write, what they refuse, and what they survive."""

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
from agents.learning.settings import PPOSettings
from mesa_env import Game, train_then_deploy
from scripts import demo, evaluate, speed, train
from scripts.arguments import GameArguments

TINY_GAME = GameArguments(train=3, deploy=5)
TINY = PPOSettings(turns=8 * 8 * 30, games=8, hidden=8)


def tiny_training(out, **changes):
    return train.Arguments(**{"game": TINY_GAME, "settings": TINY, "out": out, **changes})


def refused(capsys, command, *arguments):
    """Standard error of a command that must end with exit code 2 before it does any work."""
    with pytest.raises(SystemExit) as exit_:
        command(*arguments)
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


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
            "rules": "Game",
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
        game = TINY_GAME.build((0.8,))
        measured = mesa_env.compare(game, {"learned": agents.load(finished / "model.zip")}, [0.8])
        on_file = pd.read_csv(finished / "evaluation.csv").query("agent == 'learned'")
        assert on_file["nash_conv"].item() == pytest.approx(measured["nash_conv"].item())

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
        model = train.train(tiny_training(tmp_path, settings=PPOSettings(turns=8 * 8, games=8, hidden=8)))
        assert model.learning_curve == []
        curve = pd.read_csv(tmp_path / "learning_curve.csv")
        assert list(curve.columns) == ["turns", *mesa_env.METRICS]
        assert curve.empty

    def test_nothing_half_written_remains(self, finished):
        names = {path.name for path in finished.iterdir()}
        assert names == {
            "config.json",
            "environment.json",
            "evaluation.csv",
            "figure.png",
            "game.json",
            "learning_curve.csv",
            "model.zip",
            "tensorboard",
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
            ({"evaluation_goal": 50.0}, ("initial_goal", "50.0")),
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
        train.train(tiny_training(whole, settings=settings))
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
        train.train(tiny_training(killed, settings=settings, resume=True))
        assert_same(parameters(whole / "model.zip"), parameters(killed / "model.zip"))
        assert (whole / "learning_curve.csv").read_text() == (killed / "learning_curve.csv").read_text()

    def test_resuming_under_other_arguments_is_refused(self, tmp_path, capsys):
        out = tmp_path / "run"
        train.RunFolder(out).record("train", tiny_training(out))
        message = refused(capsys, train.main, tiny_training(out, seed=7, resume=True))
        assert "seed was 0 and is 7 now" in message

    def test_a_damaged_checkpoint_is_refused(self, tmp_path, capsys):
        out = tmp_path / "run"
        train.RunFolder(out).record("train", tiny_training(out))
        (out / "checkpoint.zip").write_bytes(b"half a zip")
        assert "checkpoint.zip" in refused(capsys, train.main, tiny_training(out, resume=True))

    @pytest.mark.parametrize("problem", ["initial", "current"])
    def test_controllers_train_by_the_same_command(self, tmp_path, problem):
        model = train.train(tiny_training(tmp_path, problem=problem))
        assert model.num_timesteps == TINY.turns
        assert agents.load(tmp_path / "model.zip").num_timesteps == TINY.turns


class TestEvaluate:
    def test_table_csv_and_json_agree(self, tmp_path, capsys):
        arguments = evaluate.Arguments(agents=("equilibrium", "guard"), games=5, out=tmp_path)
        evaluate.main(arguments)
        games, summary = pd.read_csv(tmp_path / "games.csv"), pd.read_csv(tmp_path / "summary.csv")
        assert len(games) == 10
        assert games["initial_goal"].nunique() == 5
        means = games.groupby("agent")["mesa_cost"].mean()
        assert summary.set_index("agent")["mesa_cost_mean"].to_dict() == pytest.approx(means.to_dict())
        written = json.loads((tmp_path / "summary.json").read_text())
        assert written["guard"]["mesa_cost"]["mean"] == pytest.approx(means["guard"])
        assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
        printed = capsys.readouterr().out
        assert "equilibrium" in printed
        assert "guard" in printed

    def test_the_same_seed_plays_the_same_games(self, tmp_path):
        for name in ("a", "b"):
            evaluate.main(evaluate.Arguments(agents=("random", "best_of_2"), games=3, out=tmp_path / name))
        assert (tmp_path / "a" / "games.csv").read_text() == (tmp_path / "b" / "games.csv").read_text()

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            ("equilibrum", ("equilibrum", "did you mean 'equilibrium'")),
            ("missing/model.zip", ("missing/model.zip", "none")),
            ("label=", ("''",)),
            ("best_of_99999999999", ("99999999999", "100000")),
        ],
    )
    def test_unknown_agents_are_refused(self, tmp_path, capsys, entry, words):
        message = refused(capsys, evaluate.main, evaluate.Arguments(agents=(entry,), out=tmp_path))
        assert all(word in message for word in words)

    def test_no_games_and_no_agents_are_refused(self, tmp_path, capsys):
        assert "games" in refused(capsys, evaluate.main, evaluate.Arguments(games=0, out=tmp_path))
        assert "--agents" in refused(capsys, evaluate.main, evaluate.Arguments(agents=(), out=tmp_path))

    def test_a_label_that_comes_twice_is_refused(self, tmp_path, capsys):
        twice = evaluate.Arguments(agents=("a=guard", "a=myopic"), out=tmp_path)
        assert "'a' comes twice" in refused(capsys, evaluate.main, twice)

    def test_a_seed_below_0_is_refused(self, tmp_path, capsys):
        assert "-1" in refused(capsys, evaluate.main, evaluate.Arguments(seed=-1, out=tmp_path))

    def test_a_schedule_of_its_own(self, tmp_path):
        game = GameArguments(learning_rates=(0.5, 0.0, 1.0, 0.0))
        evaluate.main(evaluate.Arguments(agents=("equilibrium",), game=game, games=1, out=tmp_path))
        first = pd.read_csv(tmp_path / "games.csv")["c_first"].item()
        assert first == pytest.approx(mesa_env.solve_equilibrium(Game([0.5, 0.0, 1.0, 0.0]))[0], abs=1e-7)

    def test_json_has_null_where_there_is_no_number(self, tmp_path):
        evaluate.main(evaluate.Arguments(agents=("guard",), games=1, out=tmp_path))
        text = (tmp_path / "summary.json").read_text()
        assert "NaN" not in text
        assert json.loads(text)["guard"]["nash_conv"]["low"] is None


class TestDemo:
    def test_demo_compares_the_learner_with_every_reference_agent(self, tmp_path, capsys):
        arguments = demo.Arguments(out=tmp_path, turns=6400)
        demo.main(arguments)
        table = pd.read_csv(tmp_path / "comparison.csv")
        assert set(table["agent"]) == {*agents.NAMES, "learned"}
        printed = capsys.readouterr().out
        learned = table.set_index("agent").loc["learned"]
        assert f"pays its first agent {-learned['mesa_cost']:.4f}" in printed
        demo.main(arguments)
        assert "Found a trained learner" in capsys.readouterr().out
        other = dataclasses.replace(arguments, seed=1)
        assert "seed was 0 and is 1 now" in refused(capsys, demo.main, other)

    def test_demo_starts_again_where_it_was_stopped_before_its_first_checkpoint(self, tmp_path):
        arguments = demo.Arguments(out=tmp_path, turns=6400)
        settings = PPOSettings(turns=arguments.turns)
        train.RunFolder(tmp_path).record("train", train.Arguments(settings=settings, out=tmp_path))
        demo.main(arguments)
        assert (tmp_path / "model.zip").exists()


class TestBenchmark:
    def test_works_are_taken_in_turns_and_their_medians_returned(self):
        order = []
        seconds = speed.medians(3, lambda: order.append("a"), lambda: order.append("b"))
        assert order == ["a", "b"] * 3
        assert all(second >= 0 for second in seconds)

    def test_stopwatch_counts_a_method_and_its_result_stays(self):
        class Sleeper:
            def sleep(self, seconds):
                time.sleep(seconds)
                return "slept"

        sleeper, watch = Sleeper(), speed.Stopwatch()
        watch.time(sleeper, "sleep")
        assert sleeper.sleep(0.01) == "slept"
        assert watch.seconds >= 0.01


def test_the_second_experiment_is_the_first_command_with_other_numbers():
    assert GameArguments(train=100, deploy=0).build((0.8,)) == Game(train_then_deploy(100, 0))

"""The commands, as a user calls them: what they write, what they refuse, and what they survive."""

import dataclasses
import json
import time

import numpy as np
import pandas as pd
import pytest

import agents
import mesa_env
from agents.benchmark.run_folder import RunFolder
from agents.learning.settings import PPOSettings
from mesa_env import Game, train_then_deploy
from scripts import demo, evaluate, reproduce, speed, train
from scripts.arguments import GameArguments
from tests.conftest import refused


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


class TestReproduce:
    def test_published_numbers_are_met_by_the_grid_as_printed(self, tmp_path):
        reproduce.main(reproduce.Arguments(out=tmp_path))
        tables = {name: pd.read_csv(tmp_path / f"{name}_numbers.csv") for name in ("one", "two")}
        assert sum(map(len, tables.values())) == 5
        for table in tables.values():
            assert np.allclose(table["grid"].round(2), table["published"])
        exact = {name: table.set_index("quantity")["exact"] for name, table in tables.items()}
        assert exact["one"]["starting coefficient"] == pytest.approx(0.0311513, abs=5e-8)
        assert exact["two"]["final |θ|"] == pytest.approx(0.0818778, abs=5e-8)
        assert {path.name for path in tmp_path.glob("*.png")} == {"one.png", "two.png"}


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
        RunFolder(tmp_path).record("train", train.Arguments(settings=settings, out=tmp_path))
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

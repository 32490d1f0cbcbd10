"""One run: its measurements, its repetition bit for bit, and its row when it fails."""

import io
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch

import mesa_env
from agents.benchmark import run
from agents.benchmark.run import Run, execute, fingerprint, measure_agent
from agents.benchmark.store import COLUMNS, IRREPRODUCIBLE
from agents.learning.callbacks import LearningCurve
from agents.learning.games import typical_goals
from mesa_env import GAMES, Game, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.parameters import build_game

TINY = Game(train_then_deploy(3, 5), initial_goal=(-1.0, 1.0))


def tiny_run(algorithm="near_oracle", game=TINY, seed=0, turns=100, **parameters):
    return Run.of("tiny", game, f"sweep_algorithms:{algorithm}", parameters, turns, seed)


def reproducible(result):
    return {name: value for name, value in result.row.items() if name not in IRREPRODUCIBLE}


@pytest.mark.parametrize("kind", GAMES.values())
def test_a_run_holds_its_whole_game_in_json(kind):
    game = kind(initial_goal=(-0.5, 0.25), discount=0.75)
    run = Run.of("game", game, "ppo", {}, 1, 0)
    again = build_game(Run(**json.loads(json.dumps(vars(run)))).game)
    assert type(again) is kind
    assert again == game


def test_parameters_that_are_not_json_serializable_are_refused():
    with pytest.raises(ValueError, match="near_oracle's parameters must be numbers"):
        tiny_run(stretch=object())


class TestRow:
    def test_has_every_column_whether_or_not_the_run_succeeded(self):
        for name in ("near_oracle", "raising"):
            assert list(execute(tiny_run(name)).row) == list(COLUMNS)

    def test_agrees_with_compare(self):
        row = execute(tiny_run(stretch=1.5, turns=10**9)).row
        profile = Profile(TINY, 1.5 * mesa_env.solve_equilibrium(TINY))
        agents = {"mine": profile, "oracle": mesa_env.oracle(TINY)}
        games = pd.DataFrame(mesa_env.compare(TINY, agents, typical_goals(TINY, 16)))
        means = games.groupby("agent")[list(mesa_env.METRICS)].mean()
        for metric in mesa_env.METRICS:
            assert row[metric] == pytest.approx(means.loc["mine", metric], rel=1e-5, abs=1e-9)
        assert row["oracle_retention"] == pytest.approx(means.loc["oracle", "retention"], rel=1e-12)
        assert 0 <= row["oracle_nash_conv"] < 1e-12

    def test_exploitability_by_episode_sums_to_the_mean(self):
        row = execute(tiny_run(stretch=1.5)).row
        assert len(row["episode_exploitability"]) == TINY.episodes
        assert np.mean(row["episode_exploitability"]) == pytest.approx(
            row["relative_exploitability"], rel=1e-12
        )

    def test_excess_is_each_coefficient_minus_that_of_the_best_response(self):
        equilibrium = mesa_env.solve_equilibrium(TINY)
        for stretch in (0.5, 1.5):
            row = execute(tiny_run(stretch=stretch, turns=10**9)).row
            expected = [
                stretch * equilibrium[n] - mesa_env.best_response(TINY, stretch * equilibrium, n)
                for n in range(8)
            ]
            # The mirror image of a best response can be as good, or nearly so, where the goal changes sign.
            assert row["episode_excess"] == pytest.approx(expected, abs=1e-5)

    def test_names_the_game_and_the_parameters_that_were_run(self):
        row = execute(tiny_run(stretch=2.0, seed=4)).row
        assert (row["run_id"], row["game"], row["seed"]) == (
            "tiny/sweep_algorithms.near_oracle/100/4",
            "tiny",
            4,
        )
        assert json.loads(row["game_json"])["rules"] == "DeceptiveAlignment"
        assert json.loads(row["game_json"])["learning_rates"] == [1, 1, 1, 0, 0, 0, 0, 0]
        assert json.loads(row["parameters_json"]) == {"stretch": 2.0}
        assert json.loads(row["versions_json"])["numpy"] == np.__version__

    @pytest.mark.parametrize("kind", GAMES.values())
    def test_every_game_can_be_measured(self, kind):
        goal = {"Decoupling": (0.1, 0.8), "GoalTraining": (0.3, 2.0)}.get(kind.__name__, 0.8)
        game = kind(initial_goal=goal)
        evaluation = measure_agent(game, mesa_env.oracle(with_fixed_length(game)), typical_goals(game, 2))
        assert set(evaluation) == {*mesa_env.METRICS, "episode_exploitability", "episode_excess"}
        assert np.isfinite(evaluation["episode_exploitability"]).all()
        assert np.isfinite(evaluation["episode_excess"]).all()
        assert np.abs(evaluation["episode_exploitability"]).max() < 2e-3

    def test_a_game_of_a_single_agent(self):
        game = Game(train_then_deploy(1, 0), initial_goal=(-1.0, 1.0))
        row = execute(tiny_run(game=game, turns=10**9)).row
        assert row["status"] == "finished"
        assert row["c_first"] == pytest.approx(1, abs=1e-6)  # there are no successors to protect
        assert np.isnan(row["c_deployment"])


class TestReproducibility:
    @pytest.mark.parametrize("name", ["near_oracle", "network"])
    def test_a_run_gives_the_same_bit_for_bit(self, name):
        first = execute(tiny_run(name))
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002 - the algorithm draws from it
        second = execute(tiny_run(name))
        assert reproducible(first) == reproducible(second)
        assert first.files["config.json"] == second.files["config.json"]
        assert reproducible(execute(tiny_run(name, seed=1)))["nash_conv"] != first.row["nash_conv"]

    def test_fingerprints_differ_if_the_last_bit_of_a_weight_does(self):
        rows = [execute(tiny_run("network", seed=seed)).row for seed in (0, 0, 1)]
        assert len(rows[0]["weights"]) == 64
        assert rows[0]["weights"] == rows[1]["weights"] != rows[2]["weights"]
        layer = torch.nn.Linear(2, 2)
        before = fingerprint(layer)
        with torch.no_grad():
            layer.weight[0, 0] = torch.nextafter(layer.weight[0, 0], torch.tensor(10.0))
        assert fingerprint(layer) != before

    def test_agents_without_networks_have_no_weights(self):
        assert execute(tiny_run()).row["weights"] == ""

    def test_the_model_is_saved_if_it_can_be(self):
        assert zipfile.is_zipfile(io.BytesIO(execute(tiny_run("network")).files["model.zip"]))
        assert "model.zip" not in execute(tiny_run()).files


class TestCurve:
    def test_ends_with_the_evaluation(self):
        row = execute(tiny_run()).row
        assert row["curve_turns"] == [25, 50, 75, 100]
        assert row["curve_nash_conv"][-1] == row["nash_conv"]
        assert row["curve_retention"][-1] == row["retention"]
        assert row["curve_nash_conv"] == sorted(row["curve_nash_conv"], reverse=True)

    def test_has_one_point_if_the_algorithm_never_calls_the_recorder(self):
        row = execute(tiny_run("network")).row
        assert row["curve_turns"] == [100]
        assert row["curve_seconds"] == [row["seconds"]]

    @pytest.mark.parametrize(("rules", "points"), [("DeceptiveAlignment", 20), ("Misconception", 5)])
    def test_has_fewer_points_where_measuring_takes_simulation(self, monkeypatch, rules, points):
        spacings = []

        def record(game, every, before):
            spacings.append((every, before))
            return LearningCurve(game, every, before)

        monkeypatch.setattr(run, "LearningCurve", record)
        game = GAMES[rules](train_then_deploy(2, 1), initial_goal=0.8)
        execute(Run.of("game", game, "sweep_algorithms:silent", {}, 1000, 0))
        assert spacings == [(1000 / points, 1000)]


class TestFailure:
    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("raising", "ArithmeticError: diverged"),
            ("exiting", "had enough"),
            ("silent", "must return an agent"),
        ],
    )
    def test_is_recorded_in_the_row(self, name, words):
        result = execute(tiny_run(name))
        assert result.row["status"] == "failed"
        assert words in result.row["traceback"]
        assert result.files["traceback.txt"].decode() == result.row["traceback"]
        assert list(result.row) == list(COLUMNS)
        assert result.row["nash_conv"] is None
        assert result.row["curve_turns"] == []

    def test_of_an_agent_that_cannot_be_saved(self):
        result = execute(tiny_run("unsavable"))
        assert result.row["status"] == "failed"
        assert "OSError: no space" in result.row["traceback"]
        assert result.row["nash_conv"] is None

    def test_of_an_agent_that_plays_nan(self):
        result = execute(tiny_run(stretch=float("nan")))
        assert result.row["status"] == "failed"
        assert "nan" in result.row["traceback"]

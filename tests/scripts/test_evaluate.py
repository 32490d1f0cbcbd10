"""The evaluation as a command: its tables and figure, and what it refuses."""

import ast
import json

import numpy as np
import pandas as pd
import pytest

import agents
import mesa_env
from agents.benchmark.run_folder import RunFolder
from agents.learning import neural
from agents.learning.neural import NeuralSettings
from agents.learning.settings import PPOSettings
from mesa_env import GAMES, Decoupling, Game
from scripts import evaluate, train
from scripts.game_arguments import GameArguments
from tests.conftest import refused

SMALL = {rules: GameArguments(rules=rules, train=2, deploy=2) for rules in GAMES} | {
    "InfiniteHorizon": GameArguments(rules="InfiniteHorizon", train=2, discount=0.5, max_episodes=8)
}


def test_table_csv_and_json_agree(tmp_path, capsys):
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


def test_the_same_seed_plays_the_same_games(tmp_path):
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
def test_unknown_agents_are_refused(tmp_path, capsys, entry, words):
    message = refused(capsys, evaluate.main, evaluate.Arguments(agents=(entry,), out=tmp_path))
    assert all(word in message for word in words)


def test_no_games_and_no_agents_are_refused(tmp_path, capsys):
    assert "games" in refused(capsys, evaluate.main, evaluate.Arguments(games=0, out=tmp_path))
    assert "--agents" in refused(capsys, evaluate.main, evaluate.Arguments(agents=(), out=tmp_path))


def test_a_label_that_comes_twice_is_refused(tmp_path, capsys):
    twice = evaluate.Arguments(agents=("a=guard", "a=myopic"), out=tmp_path)
    assert "'a' is not, or comes twice" in refused(capsys, evaluate.main, twice)


@pytest.mark.parametrize("label", ["\udcff", "a\nb", "\x1b[31m", "\0"])
def test_labels_that_cannot_be_printed_are_refused(label, tmp_path, capsys):
    arguments = evaluate.Arguments(agents=(f"{label}=myopic",), out=tmp_path / "out")
    assert "labels must be printable" in refused(capsys, evaluate.main, arguments)
    assert not (tmp_path / "out").exists()


def test_more_agents_than_a_figure_has_room_for_are_refused(tmp_path, capsys):
    many = tuple(f"a{number}=myopic" for number in range(101))
    arguments = evaluate.Arguments(agents=many, out=tmp_path / "out")
    assert "at most 100 agents; got 101" in refused(capsys, evaluate.main, arguments)


def test_a_seed_below_0_is_refused(tmp_path, capsys):
    message = refused(capsys, evaluate.main, evaluate.Arguments(seed=-1, out=tmp_path))
    assert message == "error: seed must be a whole number in 0…4294967295; got -1"


def test_learning_rates_can_be_given_one_by_one(tmp_path):
    game = GameArguments(learning_rates=(0.5, 0.0, 1.0, 0.0))
    evaluate.main(evaluate.Arguments(agents=("equilibrium",), game=game, games=1, out=tmp_path))
    first = pd.read_csv(tmp_path / "games.csv")["c_first"].item()
    assert first == pytest.approx(mesa_env.solve_equilibrium(Game([0.5, 0.0, 1.0, 0.0]))[0], abs=1e-7)


def test_json_has_null_for_missing_numbers(tmp_path):
    evaluate.main(evaluate.Arguments(agents=("guard",), games=1, out=tmp_path))
    text = (tmp_path / "summary.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["guard"]["nash_conv"]["low"] is None


@pytest.mark.parametrize("rules", GAMES)
def test_the_agents_of_every_game_can_be_compared(rules, tmp_path):
    arguments = evaluate.Arguments(agents=("myopic", "guard"), game=SMALL[rules], games=3, out=tmp_path)
    evaluate.main(arguments)
    games = pd.read_csv(tmp_path / "games.csv")
    game, guards = SMALL[rules].build(None), games.query("agent == 'guard'")
    goals = [ast.literal_eval(str(goal)) for goal in guards["initial_goal"]]
    assert len(goals) == (1 if rules == "GoalTraining" else 3)
    again = mesa_env.compare(game, {"guard": agents.make("guard", game)}, goals)
    on_file = games.query("agent == 'guard'")["mesa_cost"]
    np.testing.assert_allclose(on_file, again["mesa_cost"], rtol=1e-12)
    assert json.loads((tmp_path / "game.json").read_text())["rules"] == rules
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_seed_determines_the_random_numbers_within_games(tmp_path):
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
        with RunFolder(folder / rules, "train") as run:
            train.train_learner(run, train.Arguments(game=SMALL[rules], settings=settings, out=run.path))
        paths[rules] = folder / rules / "model.zip"
    policy = neural.train_policy(Decoupling([1.0, 0.0]), NeuralSettings(iterations=0, hidden=(4,)), 0)
    neural.save(policy, folder / "policy.pt")
    return {**paths, "Decoupling": folder / "policy.pt"}


@pytest.mark.parametrize(
    ("trained_in", "rules"),
    [
        ("DeceptiveAlignment", "Misconception"),  # it observes less than the game shows
        ("Misconception", "DeceptiveAlignment"),
        ("DeceptiveAlignment", "Decoupling"),  # its actions have fewer numbers
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
def test_a_model_that_fits_is_evaluated_unchanged(models, tmp_path, rules):
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


def test_checking_an_agent_consumes_none_of_its_random_numbers(tmp_path):
    arguments = evaluate.Arguments(agents=("random",), initial_goal=(0.8,), games=1, seed=5, out=tmp_path)
    evaluate.main(arguments)
    first = mesa_env.rollout(Game(), agents.make("random", Game(), seed=5), [0.8]).coefficients[0, 0]
    assert pd.read_csv(tmp_path / "games.csv")["c_first"].item() == pytest.approx(first, rel=1e-6)

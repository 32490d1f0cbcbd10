"""Declared grids: the runs that they stand for, and what is refused before any work."""

import pytest

from agents.benchmark import grid
from agents.benchmark.grid import read_grid
from mesa_env import GAMES, Game
from mesa_env.rules.parameters import build_game

ALGORITHM = "sweep_algorithms:near_oracle"
MINIMAL = {"algorithms": f'["{ALGORITHM}"]', "seeds": "2", "turns": "100"}
TINY = "[games.tiny]\ntrain = 3\ndeploy = 5\n"


@pytest.fixture
def declared(tmp_path):
    """Builds the grid of a TOML file: a minimal one, except for what is given."""

    def declare(tables=TINY, **entries):
        path = tmp_path / "grid.toml"
        lines = [f"{name} = {value}" for name, value in (MINIMAL | entries).items() if value is not None]
        path.write_text("\n".join([*lines, tables]))
        return read_grid(path)

    return declare


def test_a_grid_is_the_product_of_games_algorithms_seeds_and_turns(declared):
    algorithms = f'["{ALGORITHM}", "sweep_algorithms:network"]'
    grid = declared(TINY + "[games.Decoupling]", algorithms=algorithms, turns="[10, 20]")
    runs = grid.runs()
    assert len(runs) == 2 * 2 * 2 * 2
    assert {run.id for run in runs} == {
        f"{game}/sweep_algorithms.{name}/{turns}/{seed}"
        for game in ("tiny", "Decoupling")
        for name in ("near_oracle", "network")
        for turns in (10, 20)
        for seed in (0, 1)
    }
    assert [run.seed for run in runs] == [0] * 8 + [1] * 8


def test_a_game_can_have_its_own_seeds(declared):
    grid = declared(TINY + "[games.Decoupling]\n[seeds_of]\nDecoupling = [7]")
    assert [(run.label, run.seed) for run in grid.runs()] == [("tiny", 0), ("tiny", 1), ("Decoupling", 7)]
    assert [run.seed for run in grid.narrow(seeds=[3]).runs()] == [3, 3]


def test_games_are_built_from_their_parameters(declared):
    tables = (
        '[games.mine]\nrules = "Misconception"\ntrain = 2\ndeploy = 1\ninitial_goal = 0.5\n[games.Decoupling]'
    )
    mine, decoupling = (build_game(run.game) for run in declared(tables, seeds="[7]").runs())
    assert type(mine) is GAMES["Misconception"]
    assert (mine.learning_rates > 0).tolist() == [True, True, False]
    assert mine.initial_goal == 0.5
    assert type(decoupling) is GAMES["Decoupling"]
    assert decoupling.initial_goal == (-1, 1)


def test_goals_that_are_vectors_have_defaults_of_their_own(declared):
    tables = '[games.GoalTraining]\n[games.drawn]\nrules = "GoalTraining"\ninitial_goal = [[0, 1], [1, 2]]'
    default, drawn = (build_game(run.game) for run in declared(tables, seeds="[7]").runs())
    assert default == GAMES["GoalTraining"]()
    assert drawn.initial_goal == ((0, 1), (1, 2))


def test_learners_of_continuous_actions_refuse_choices(declared):
    with pytest.raises(ValueError, match="td3 learns continuous actions, and those of GoalTraining are 2"):
        declared("[games.GoalTraining]\n[games.tiny]", algorithms='["ppo", "td3"]').runs()


def test_parameters_of_the_grid_override_those_of_the_algorithm(declared):
    runs = declared(TINY + f'[parameters."{ALGORITHM}"]\nstretch = 1.5').runs()
    assert [run.parameters for run in runs] == [{"stretch": 1.5}] * 2
    assert declared().runs()[0].parameters == {"stretch": 1.0}


def test_turns_of_a_game_override_turns_of_an_algorithm(declared):
    games = TINY + "[games.other]\ntrain = 1\n"
    algorithms = f'["{ALGORITHM}", "sweep_algorithms:network"]'
    turns = f'[turns]\n"{ALGORITHM}" = 10\n"sweep_algorithms:network" = [1, 2]\n'
    turns += f'[turns_of.other]\n"{ALGORITHM}" = 5\n'
    runs = declared(games + turns, algorithms=algorithms, turns=None, seeds="1").runs()
    planned = {(run.label, run.algorithm.partition(":")[2]): [] for run in runs}
    for run in runs:
        planned[run.label, run.algorithm.partition(":")[2]].append(run.turns)
    assert planned == {
        ("tiny", "near_oracle"): [10],
        ("tiny", "network"): [1, 2],
        ("other", "near_oracle"): [5],
        ("other", "network"): [1, 2],
    }


def test_the_command_line_narrows_and_replaces(declared):
    grid = declared(TINY + "[games.other]\ntrain = 1\n[turns_of.other]\n" + f'"{ALGORITHM}" = 5')
    narrowed = grid.narrow(["other", "HiddenDeployment"], ["sweep_algorithms:network"], seeds=[9], turns=[3])
    assert [run.id for run in narrowed.runs()] == [
        "other/sweep_algorithms.network/3/9",
        "HiddenDeployment/sweep_algorithms.network/3/9",
    ]
    assert len(grid.narrow(["tiny"]).runs()) == 2


@pytest.mark.parametrize(
    ("tables", "entries", "words"),
    [
        ("[games.tiny]\ntrian = 3", {}, ("trian", "did you mean", "train")),
        ('[games.tiny]\nrules = "Decoupling"\nhazard = 0.1', {}, ("games.tiny", "hazard", "Decoupling")),
        ('[games.tiny]\nrules = "Misconceptions"', {}, ("Misconceptions", "did you mean", "Misconception")),
        ("[games.tiny]\nrules = [1]", {}, ("games.tiny", "rules", "1")),
        ("[games.tiny]\ntrain = -1", {}, ("games.tiny", "train", "-1")),
        ('[games.tiny]\ntrain = "3"', {}, ("games.tiny", "train", "'3'")),
        ("[games.tiny]\ninitial_goal = [1, -1]", {}, ("initial_goal", "ascending")),
        ('[games."a/b"]', {}, ("label", "a/b")),
        ('[games."../up"]', {}, ("label", "../up")),
        ("[games]\ntiny = 3", {}, ("games.tiny", "table", "3")),
        (TINY, {"seeds": "0"}, ("seeds", "0")),
        (TINY, {"seeds": "-1"}, ("seeds", "-1")),
        (TINY, {"seeds": "[1, 1]"}, ("must differ", "100/1", "2 times")),
        (TINY, {"seeds": "[4294967296]"}, ("seeds", "4294967296")),
        (TINY, {"seeds": "true"}, ("seeds", "True")),
        (TINY, {"seeds": "[]"}, ("at least one",)),
        (TINY, {"turns": "[10, 10]"}, ("must differ", "/10/0", "2 times")),
        (TINY, {"seeds": None}, ("declare its seeds",)),
        (TINY, {"turns": "0"}, ("turns", "0")),
        (TINY, {"turns": "1e6"}, ("turns", "1000000.0")),
        (TINY, {"turns": None}, (ALGORITHM, "turns")),
        (TINY, {"algorithms": '"ppo"'}, ("list of names", "ppo")),
        (TINY, {"seed": "3"}, ("seed", "did you mean", "seeds")),
        (TINY, {"algorithms": '["sweep_algorithms:none"]'}, ("sweep_algorithms", "none")),
        (TINY, {"algorithms": '["no_such_module:none"]'}, ("no_such_module",)),
        (TINY + f'[parameters."{ALGORITHM}"]\nstrech = 2', {}, ("strech", "stretch")),
        (TINY + "[turns_of.tny]\nppo = 3", {}, ("tny", "did you mean", "tiny")),
        ("[games.tiny\n", {}, ("TOML",)),
    ],
)
def test_invalid_grids_are_refused_in_one_sentence(declared, tables, entries, words):
    with pytest.raises(ValueError, match=r"^[^\n]+$") as refusal:
        declared(tables, **entries).runs()
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize("name", ["pp", "TD4"])
def test_unknown_algorithms_are_refused_with_the_closest_ones(declared, name):
    with pytest.raises(ValueError, match="ppo" if name == "pp" else "td3"):
        declared(algorithms=f'["{name}"]').runs()


def test_unknown_games_are_refused_with_the_closest_one(declared):
    with pytest.raises(ValueError, match=r"did you mean 'tiny'"):
        declared().narrow(["tinny"])
    with pytest.raises(ValueError, match=r"did you mean 'HiddenDeployment'"):
        declared().narrow(["HidenDeployment"])


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"none.toml cannot be read"):
        read_grid(tmp_path / "none.toml")


def test_the_name_of_a_game_can_label_another_game(declared):
    tables = f'[games.{next(iter(GAMES))}]\nrules = "DeceptiveAlignment"'
    assert type(build_game(declared(tables).runs()[0].game)) is Game


def test_labels_that_no_file_here_can_have_are_refused(declared, monkeypatch):
    monkeypatch.setattr(grid.os, "fsencode", lambda label: label.encode("ascii"))
    with pytest.raises(ValueError, match="must be one that files here may have"):
        declared('[games."θ"]\ntrain = 3').runs()


def test_a_byte_order_mark_and_other_letters_are_no_obstacle(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_bytes('\ufeff# θ\nalgorithms = ["ppo"]\nseeds = 1\n[games.tiny]\ntrain = 3\n'.encode())
    assert len(read_grid(path).runs()) == 1


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"seeds": "1000000000"}, "seeds must be a whole number in 1…100000"),
        ({"seeds": "100000", "turns": "[1, 2]"}, "at most 100000 runs; it has 200000"),
        ({"turns": "1" + "0" * 20}, "turns must be a whole number in 1…"),
    ],
)
def test_grids_that_are_too_large_are_refused(declared, entries, words):
    with pytest.raises(ValueError, match=words):
        declared(**entries).runs()


@pytest.mark.parametrize("parameters", ["train = 1000000000000", "train = 60000\ndeploy = 60000"])
def test_games_that_are_too_long_are_refused(declared, parameters):
    with pytest.raises(ValueError, match="100000"):
        declared(f"[games.tiny]\n{parameters}").runs()


def test_a_large_grid_is_built_in_order(declared):
    runs = declared(seeds="30000").runs()
    assert [run.seed for run in runs] == list(range(30000))
    assert runs[0].game is runs[-1].game

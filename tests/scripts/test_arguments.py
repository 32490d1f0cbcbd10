"""Arguments that the commands share: every game can be named, and the folder of another run is refused."""

import dataclasses
import importlib
import subprocess
import sys
import typing

import pytest
import tyro

from mesa_env import (
    GAMES,
    AdaptiveOptimizer,
    Decoupling,
    Game,
    GoalTraining,
    HiddenDeployment,
    LearnableDiscount,
    Misconception,
    Preservation,
    train_then_deploy,
)
from mesa_env.optimizers import Adam
from scripts import evaluate, train
from scripts.arguments import refusing_bad_input, run_command
from scripts.game_arguments import GameArguments
from tests.conftest import refused


def test_every_game_can_be_named():
    hints = typing.get_type_hints(GameArguments)
    assert typing.get_args(hints["rules"]) == tuple(GAMES)


def test_every_parameter_of_every_game_can_be_given_but_three():
    """The initial goal is an argument of the commands themselves; the others have none."""
    offered = {argument.name for argument in dataclasses.fields(GameArguments)}
    for kind in GAMES.values():
        parameters = {parameter.name for parameter in dataclasses.fields(kind)}
        assert parameters - offered <= {"initial_goal", "ends", "deployed_world"}


@pytest.mark.parametrize("rules", GAMES)
def test_missing_arguments_have_the_defaults_of_the_game(rules):
    assert GameArguments(rules=rules).build_at(None) == GAMES[rules]()
    given = GameArguments(rules=rules).build(None)
    if rules == "GoalTraining":
        assert given == GoalTraining()
    else:
        assert given == GAMES[rules](initial_goal=(-1, 1))


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
        ("Decoupling", {"learning_rates": (0.5, 0, 1)}),
        ("AdaptiveOptimizer", {"optimizer": "Momentum", "noise": 0.1}),
        ("Preservation", {"weight": 0.9, "discount": 0.5}),
        ("GoalTraining", {"world": "TableWiping", "diversity": 0.5, "pursuits": (0, 0.5, 1)}),
        ("GoalTraining", {"update": "value", "data": "off-policy", "temperature": 0.5}),
        ("GoalTraining", {"prior": (1, 0), "belief": (2, 1), "regularization": 0.1, "discount": 0.9}),
    ],
)
def test_games_take_their_own_parameters(rules, parameters):
    assert GameArguments(rules=rules, **parameters).build_at(None) == GAMES[rules](**parameters)


@pytest.mark.parametrize("rules", [name for name in GAMES if name != "LearnableDiscount"])
def test_a_pair_of_discounts_is_refused_where_discounts_are_not_drawn(rules):
    with pytest.raises(ValueError, match="discount must be a finite number"):
        GameArguments(rules=rules, discount=(0.2, 0.8)).build_at(None)


@pytest.mark.parametrize("initial_goal", [(), (0.1, 0.2, 0.3)])
def test_an_initial_goal_is_one_number_or_two(initial_goal):
    with pytest.raises(ValueError, match="must be one number or two"):
        GameArguments().build(initial_goal)


@pytest.mark.parametrize(
    ("goal", "built"),
    [((0, 2), (0, 2)), ((1.5, -1), (1.5, -1)), ((0, 1, 2, 3), ((0, 1), (2, 3)))],
)
def test_goals_of_goal_training_have_one_number_per_feature(goal, built):
    arguments = GameArguments(rules="GoalTraining", world="TableSetting")
    assert arguments.build(goal) == GoalTraining("TableSetting", initial_goal=built)


@pytest.mark.parametrize("goal", [(), (0.8,), (0, 1, 2), (0,) * 5])
def test_goals_of_another_width_are_refused(goal):
    with pytest.raises(ValueError, match=r"must be 2 numbers or 4, low then high; got \("):
        GameArguments(rules="GoalTraining").build(goal)


@pytest.mark.parametrize(("rules", "goal"), [("GoalTraining", (0, 1, 1, 2)), ("Misconception", (-1, 1))])
def test_games_to_be_shown_have_one_goal(rules, goal):
    with pytest.raises(ValueError, match=r"must have one initial goal; got a range, \("):
        GameArguments(rules=rules).build_at(goal)


@pytest.mark.parametrize(
    ("line", "game"),
    [
        (
            "--rules GoalTraining --world TableWiping --pursuits 0 0.5 1 --update value",
            GoalTraining("TableWiping", pursuits=(0, 0.5, 1), update="value"),
        ),
        (
            "--rules GoalTraining --diversity 1 --train 2 --deploy 3",
            GoalTraining(learning_rates=train_then_deploy(2, 3, 0.3), diversity=1),
        ),
        ("--rules Misconception --initial-belief 0.1 0.2", Misconception(initial_belief=(0.1, 0.2))),
        ("--rules LearnableDiscount --discount 0.2 0.8", LearnableDiscount(discount=(0.2, 0.8))),
        ("--rules LearnableDiscount --discount 0.2", LearnableDiscount(discount=0.2)),
        ("--rules HiddenDeployment --observed signal", HiddenDeployment(observed="signal")),
        ("--rules Decoupling --decoupling 0.1", Decoupling(decoupling=0.1)),
        (
            "--rules AdaptiveOptimizer --optimizer Adam --beta1 0.5 --epsilon 1e-3 --noise 0.1",
            AdaptiveOptimizer(optimizer=Adam(beta1=0.5, epsilon=1e-3), noise=0.1),
        ),
        ("--rules Preservation --weight 0.9", Preservation(weight=0.9)),
        ("--train 2 --deploy 3", Game(train_then_deploy(2, 3))),
    ],
)
def test_games_can_be_named_on_the_command_line(line, game):
    assert tyro.cli(GameArguments, args=line.split()).build_at(None) == game


@pytest.mark.parametrize("rules", ["AdaptiveOptimizer", "DeceptiveAlignment"])
def test_parameters_of_an_optimizer_come_with_its_name(rules):
    with pytest.raises(ValueError, match="momentum must come with an optimizer; got none"):
        GameArguments(rules=rules, momentum=0.5).build_at(None)


def test_an_optimizer_takes_no_parameter_of_another():
    arguments = GameArguments(rules="AdaptiveOptimizer", optimizer="Adam", momentum=0.5)
    with pytest.raises(ValueError, match="Adam has no parameter 'momentum'; it has beta1"):
        arguments.build_at(None)


@pytest.mark.parametrize("command", ["sweep", "redo", "tune"])
def test_help_loads_no_heavy_library(command):
    heavy = ("torch", "pandas", "matplotlib", "optuna", "pyarrow", "ray", "stable_baselines3")
    code = (
        f"import sys, tyro; from scripts import {command}\n"
        f"try: tyro.cli({command}.Arguments, args=['--help'])\n"
        f"except SystemExit: print('loaded:', [name for name in {heavy} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip().splitlines()[-1] == "loaded: []"


def test_the_second_experiment_is_the_first_command_with_other_numbers():
    assert GameArguments(train=100, deploy=0).build((0.8,)) == Game(train_then_deploy(100, 0))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("demo", "pickles"),
        ("evaluate", "pickles"),
        ("train", "pickles"),
        ("train_all", "pickles"),
        ("reproduce", "pickles"),
        ("redo", "imported"),
        ("sweep", "imported"),
    ],
)
def test_help_says_what_a_command_loads_and_runs(command, words, capsys):
    module = importlib.import_module(f"scripts.{command}")
    with pytest.raises(SystemExit):
        tyro.cli(module.Arguments, args=["--help"], description=module.__doc__)
    text = " ".join(capsys.readouterr().out.split())
    assert words in text
    assert "trust" in text or command == "demo"


def test_help_says_that_threads_change_the_numbers(capsys):
    with pytest.raises(SystemExit):
        tyro.cli(train.Arguments, args=["--help"])
    assert "which change the numbers" in " ".join(capsys.readouterr().out.replace("│", "").split())


@pytest.mark.parametrize("words", [["--out", ""], ["--out="], ["--agents", "myopic", ""]])
def test_no_argument_may_be_empty(words, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
    assert "no argument may be empty" in refused(capsys, run_command, evaluate.main, evaluate.Arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "parameters",
    [
        {"train": 10**12},
        {"deploy": 100_001},
        {"train": 60_000, "deploy": 60_000},
        {"learning_rates": (0.1,) * 100_001},
        {"rules": "InfiniteHorizon", "max_episodes": 10**12},
    ],
)
def test_a_game_has_at_most_so_many_episodes(parameters):
    with pytest.raises(ValueError, match="100000"):
        GameArguments(**parameters).build((0.8,))
    assert GameArguments(train=50_000, deploy=50_000).build((0.8,)).episodes == 100_000


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), OSError("two\nlines"), UnicodeError("no text"), OverflowError()]
)
def test_whatever_a_machine_lacks_is_one_line(error, monkeypatch, capsys):
    def command(_):
        with refusing_bad_input():
            raise error

    command.__module__ = evaluate.__name__
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    refused(capsys, run_command, command, evaluate.Arguments)


def test_errors_that_are_no_refusal_keep_their_traceback(monkeypatch):
    def command(_):
        raise ZeroDivisionError

    command.__module__ = evaluate.__name__
    monkeypatch.setattr(sys, "argv", ["evaluate.py"])
    with pytest.raises(ZeroDivisionError):
        run_command(command, evaluate.Arguments)

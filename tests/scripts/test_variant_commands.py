"""The commands with variants: games by their numbers, findings and the document of all results, training."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import typing

import numpy as np
import pandas as pd
import pytest
import tyro
from matplotlib.figure import Figure

import agents
import mesa_env
from agents.learning import neural
from agents.learning.settings import NeuralSettings, PPOSettings
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
from scripts import evaluate, reproduce, train
from scripts.arguments import GameArguments
from scripts.experiments import EXPERIMENTS, finding
from scripts.experiments.finding import Answer, Finding, markdown, trained, update, wrapped
from tests.conftest import refused

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


# -- Findings ---------------------------------------------------------------------------------------------


def found(**changes):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1])
    parts = {
        "title": "A title",
        "answers": [Answer("Is it so?", "Yes, it is.", "|θ| of 2"), Answer("Why?", "Because.", "none")],
        "text": "One paragraph,\nbroken.\n\nAnother.",
        "figure": figure,
        "tables": {"shown": pd.DataFrame({"a": [1, 2], "b": [0.123456, math.nan]}), "other": pd.DataFrame()},
        "shown": {"shown": "A caption:"},
    }
    return Finding(**parts | changes)


DOCUMENT = """# Results

<!-- answers -->
| stale |
<!-- end -->

Something before.

<!-- first -->
## Old

- **Question:** What was?
- **Answer:** This.
- **Effect:** 1

<!-- end of first -->

Something between: <!-- not a mark.

<!-- second -->
to be replaced
<!-- end of second -->

Something after.
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(DOCUMENT)
    return path


def test_a_section_holds_question_text_figure_table_and_command_between_its_marks():
    section = found().section("second")
    assert section.startswith("<!-- second -->\n")
    assert section.endswith("\n<!-- end of second -->\n")
    order = [
        "## A title",
        "Is it so?",
        "Yes, it is.",
        "|θ| of 2",
        "Why?",
        "Because.",
        "One paragraph, broken.\n\nAnother.",
        "![A title](results/second.png)",
        "A caption:\n\n| a | b |",
        "scripts/reproduce.py second",
    ]
    places = [section.index(part) for part in order]
    assert places == sorted(places)


def test_update_replaces_its_own_section_alone_and_rebuilds_the_opening_table(document):
    update(document, "second", found())
    text = document.read_text()
    section = found().section("second")
    opening = "\n".join(
        [
            "<!-- answers -->",
            "| question | answer | effect size | command |",
            "| --- | --- | --- | --- |",
            "| What was? | This. | 1 | `.venv/bin/python scripts/reproduce.py first` |",
            r"| Is it so? | Yes, it is. | \|θ\| of 2 | `.venv/bin/python scripts/reproduce.py second` |",
            "| Why? | Because. | none | `.venv/bin/python scripts/reproduce.py second` |",
            "<!-- end -->",
        ]
    )
    expected = DOCUMENT.replace("<!-- answers -->\n| stale |\n<!-- end -->", opening)
    assert text == expected.replace("<!-- second -->\nto be replaced\n<!-- end of second -->\n", section)
    update(document, "second", found())
    assert document.read_text() == text  # again changes nothing


def test_update_drops_answers_that_are_no_more(document):
    update(document, "second", found())
    update(document, "second", found(answers=[Answer("Now what?", "This.", "2")]))
    table = document.read_text().partition("<!-- end -->")[0]
    assert "Is it so?" not in table
    assert "| Now what? | This. | 2 | `.venv/bin/python scripts/reproduce.py second` |" in table
    assert "What was?" in table


def test_update_takes_text_as_it_is(document):
    """No backslash or group of a regular expression is read into what was found."""
    update(document, "second", found(text=r"\1 \g<0> \n $x$"))
    assert r"\1 \g<0> \n $x$" in document.read_text()


def test_a_document_without_an_opening_table_is_refused(document):
    document.write_text(DOCUMENT.replace("<!-- end -->", ""))
    with pytest.raises(ValueError, match="its opening table"):
        update(document, "second", found())


@pytest.mark.parametrize("name", ["third", "end of first", "answers"])
def test_a_document_without_the_marks_is_refused_and_left_alone(document, name):
    with pytest.raises(
        ValueError, match=f"must have marks for its opening table and for {name}'s"
    ) as refusal:
        update(document, name, found())
    assert str(document) in str(refusal.value)
    assert document.read_text() == DOCUMENT


def test_markdown_tables_have_four_digits_and_whatever_else_there_is():
    table = pd.DataFrame(
        {"name": ["a", "|θ|"], "n": [1, 20_000], "x": [0.123456, math.nan], "γ": [1e-9, 2.0]}
    )
    assert markdown(table).splitlines() == [
        "| name | n | x | γ |",
        "| --- | --- | --- | --- |",
        "| a | 1 | 0.1235 | 1.0e-09 |",
        r"| \|θ\| | 20000 | – | 2 |",
    ]


def test_wrapped_breaks_paragraphs_anew_and_no_word():
    words = "deceptively-hyphenated-word " * 30
    text = wrapped(f"\n{words}\n{words}\n\n`{'x' * 150}`\n")
    first, second = text.split("\n\n")
    assert first.split() == (words * 2).split()
    assert max(map(len, first.splitlines())) <= 110
    assert all(line.count(" ") == 2 for line in first.splitlines())  # as many words as fit
    assert second == f"`{'x' * 150}`"


def test_without_trained_learners_there_are_none_and_the_note_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "TRAINED", tmp_path)
    assert trained("nobody") == {}
    game = Game([1.0, 0.0])
    table = finding.learned("nobody", game)
    assert table["agent"].tolist() == ["oracle"]
    assert table["relative exploitability, %"].item() == pytest.approx(0, abs=1e-9)
    costs = mesa_env.compare(game, {"oracle": mesa_env.oracle(game)}, [0.8, -0.4])["mesa_cost"]
    assert table["J_0"].item() == pytest.approx(costs.mean())
    note = finding.note_on_learners(table, "nobody")
    assert "No learner `nobody` was found" in note
    assert "make variants" in note


def test_the_note_on_learners_tells_mean_and_worst():
    table = pd.DataFrame(
        {"agent": ["oracle", "seed 0", "seed 1"], "relative exploitability, %": [0.0, 1.0, 3.0]}
    )
    note = finding.note_on_learners(table, "somebody")
    assert "`somebody`, 2 seeds" in note
    assert "2 % on average" in note
    assert "3 % at worst" in note


# -- reproduce.py -----------------------------------------------------------------------------------------


@pytest.fixture
def stub(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "second", found)


def test_reproduce_writes_figure_section_and_tables(stub, tmp_path, capsys):
    out = tmp_path / "out"
    reproduce.main(reproduce.Arguments(names=("second",), out=out))
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "environment.json",
        "second.png",
        "second.md",
        "second_shown.csv",
        "second_other.csv",
    }
    assert (out / "second.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "second.md").read_text() == found().section("second")
    pd.testing.assert_frame_equal(pd.read_csv(out / "second_shown.csv"), found().tables["shown"])
    config = json.loads((out / "config.json").read_text())
    assert (config["command"], config["names"]) == ("reproduce", ["second"])
    printed = capsys.readouterr().out
    assert "Is it so? Yes, it is. (|θ| of 2)" in printed
    assert "A caption:" in printed
    assert str(out) in printed


def test_reproduce_replaces_the_section_figure_and_tables_of_the_documentation(stub, document, tmp_path):
    reproduce.main(reproduce.Arguments(names=("second",), out=tmp_path / "out", docs=document.parent))
    text = document.read_text()
    assert found().section("second") in text
    assert "to be replaced" not in text
    assert "Something after." in text
    results = document.parent / "results"
    assert {path.name for path in results.iterdir()} == {"second.png", "second_shown.csv"}
    assert (results / "second.png").read_bytes().startswith(b"\x89PNG")


def test_documentation_without_the_marks_is_refused_before_any_work(document, tmp_path, monkeypatch, capsys):
    """Though the first experiment has its marks, and only the second has none."""
    done = []
    for name in ("second", "third"):
        monkeypatch.setitem(EXPERIMENTS, name, lambda: done.append(1) or found())
    out = tmp_path / "out"
    arguments = reproduce.Arguments(names=("second", "third"), out=out, docs=document.parent)
    message = refused(capsys, reproduce.main, arguments)
    assert f"{document} must have marks for its opening table and for third's section" in message
    assert not done
    assert not list(out.iterdir())
    assert document.read_text() == DOCUMENT
    reproduce.main(dataclasses.replace(arguments, names=("second",)))
    assert done == [1]


def test_documentation_without_results_is_refused_before_any_work(stub, tmp_path, capsys):
    arguments = reproduce.Arguments(names=("second",), out=tmp_path / "out", docs=tmp_path)
    message = refused(capsys, reproduce.main, arguments)
    assert f"--docs must name a folder with a results.md; there is none at {tmp_path}" in message
    assert not (tmp_path / "out" / "second.png").exists()


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

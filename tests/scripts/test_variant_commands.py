"""The commands with variants: games by their numbers, findings and the document of all results, training."""

from __future__ import annotations

import dataclasses
import json
import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

import mesa_env
from mesa_env import (
    Game,
)
from scripts import reproduce
from scripts.experiments import EXPERIMENTS, finding
from scripts.experiments.finding import Answer, Finding, markdown, trained, update, wrapped


def refused(capsys, command, *arguments):
    """Standard error of a command that must end with exit code 2 before it does any work."""
    with pytest.raises(SystemExit) as exit_:
        command(*arguments)
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


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

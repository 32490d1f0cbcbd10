"""Tables in the terminal and in Markdown."""

import numpy as np
import pandas as pd
import pytest

import mesa_env
from agents.benchmark import tables
from agents.benchmark.tables import markdown_table, number
from mesa_env import Game


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.nan, "–"),
        (0.0, "0"),
        (0.72321, "0.7232"),
        (123456.7, "1.235e+05"),
        (1e6, "1.0e+06"),
        (-2.5e-5, "-2.5e-05"),
        (np.inf, "inf"),
    ],
)
def test_numbers_have_four_significant_digits(value, text):
    assert number(value) == text


def test_markdown_tables_hold_numbers_and_text():
    table = pd.DataFrame({"name": ["a", "b"], "value": [1 / 3, np.nan], "count": [1, 20]})
    assert markdown_table(table).splitlines() == [
        "| name | value | count |",
        "| --- | --- | --- |",
        "| a | 0.3333 | 1 |",
        "| b | – | 20 |",
    ]


def test_no_text_ends_its_cell_or_its_row():
    table = pd.DataFrame({"a | b": ["c | d\ne"]})
    assert markdown_table(table).splitlines()[::2] == [r"| a \| b |", r"| c \| d e |"]


def test_summaries_show_half_of_intervals_and_no_rounding_noise(capsys):
    game = Game(initial_goal=(-1.0, 1.0))
    goals = [0.8, -0.4, 0.2]
    games = pd.DataFrame(mesa_env.compare(game, {"oracle": mesa_env.oracle(game)}, goals))
    tables.show_summary(mesa_env.summarize(games), "three games")
    printed = capsys.readouterr().out
    assert "three games" in printed
    assert "0.03115" in printed  # the same in every game
    assert printed.count("±") == 4  # θ after training, both base losses, and agent 0's mesa cost


def test_data_frames_are_shown_as_they_are(capsys):
    tables.show(pd.DataFrame({"agent": ["guard"], "seconds": [1 / 3]}), "speed")
    printed = capsys.readouterr().out
    assert "speed" in printed
    assert "guard" in printed
    assert "0.3333" in printed


NUMBERS = [1.234e-17, -5.678e-05, 0.03115, 123456.7, np.nan, 3222.0]


@pytest.mark.parametrize("columns", ["20", "40", "80", "200"])
def test_numbers_are_whole_at_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    name = "runs/a/long/path/to/one/model.zip"
    table = pd.DataFrame({"agent": [name] * 6, "game": "short", **{f"number {n}": NUMBERS for n in range(5)}})
    tables.show(table.assign(note="a ratio of 1.5e-10 here"), "numbers")
    words = capsys.readouterr().out.split()
    for value in NUMBERS:
        assert words.count(number(value)) == 5
    assert words.count("1.5e-10") == 6
    assert "number" in words


@pytest.mark.parametrize("columns", ["40", "80", "132", "300"])
def test_summaries_are_whole_at_any_width(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    game = Game(initial_goal=(-1.0, 1.0))
    name = "runs/" + "very/" * 30 + "model.zip"
    games = pd.DataFrame(mesa_env.compare(game, {name: mesa_env.oracle(game)}, [0.8, -0.4, 0.2]))
    summary = mesa_env.summarize(games)
    tables.show_summary(summary, "three games")
    printed = capsys.readouterr().out
    for metric in ("c_first", "nash_conv", "mesa_cost", "retention", "base_loss_training"):
        assert number(float(summary[metric]["mean"].iloc[0])) in printed.split()
    lines = printed.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert any("…" in line and ".zip" in line for line in lines) or columns == "300"


@pytest.mark.parametrize("name", ["sac[seed1]", "x[/]", "[red]a[/red]", ":smile:", "[link=x]y", "a\\[b"])
def test_names_are_shown_as_given(name, capsys):
    tables.show(pd.DataFrame({"agent": [name], "value": [1.0]}), name)
    assert capsys.readouterr().out.count(name) == 2


def test_control_characters_do_not_reach_the_terminal(capsys):
    tables.show(pd.DataFrame({"agent": ["a\x1b[31m\0\nb"], "value": [1.0]}), "title")
    assert "a\\x1b[31m\\x00 b" in capsys.readouterr().out

"""Templates are filled with numbers that were computed, and their claims hold or are refused."""

from __future__ import annotations

import dataclasses
import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from scripts.experiments import EXPERIMENTS
from scripts.experiments.finding import Finding
from scripts.experiments.page import (
    MISSING,
    answers_in,
    assemble,
    claims_of,
    read_template,
    render,
    tables_of,
    with_headings,
)

TEMPLATE = """## A title

- **Question:** Is it so?
- **Answer:** [[so]] Yes, it is {{ n }}. [[/]]
- **Effect:** |θ| of {{ c[0.1, first].theta | percent .1f }}

[[so large]] It is large:
{{ x | .2f }}. [[/]]

[[learners]]
[[close]] Learners end at {{ gain }} %. [[/]]
[[/learners]]

A caption:

| η | which | \\|θ\\| |
| --- | --- | --- |
{{ rows c: eta which theta }}
"""
CELLS = pd.DataFrame(
    {"eta": [0.1, 1.0], "which": ["first", "second"], "theta": [0.123456, math.nan], "unused": [1, 2]}
).set_index(["eta", "which"])
FOUND = Finding(
    tables={"c": CELLS},
    figure=Figure(),
    claims={"so": True, "large": True, "close": True},
    numbers={"n": 3, "x": 2.5, "gain": 1e-7},
    learners="trained",
)


def change(**changes):
    return dataclasses.replace(FOUND, **changes)


def test_a_template_is_filled_with_numbers_cells_and_tables():
    assert render(TEMPLATE, FOUND) == (
        "## A title\n\n"
        "- **Question:** Is it so?\n- **Answer:** Yes, it is 3.\n- **Effect:** |θ| of 12.3 %\n\n"
        "It is large:\n2.50.\n\n"
        "Learners end at 1.0e-07 %.\n\n"
        "A caption:\n\n"
        "| η | which | \\|θ\\| |\n| --- | --- | --- |\n| 0.1 | first | 0.1235 |\n| 1 | second | – |\n"
    )


@pytest.mark.parametrize(
    ("claim", "sentence"),
    [("so", "It is large: "), ("large", "It is large: "), ("close", "Learners end at ")],
)
def test_a_false_claim_is_refused_with_its_sentence(claim, sentence):
    with pytest.raises(ValueError, match=f"do not support the claim '{claim}': {sentence}"):
        render(TEMPLATE, change(claims=FOUND.claims | {claim: False}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"claims": {"so": True, "large": True}}, "claims that its experiment computes; got close"),
        ({"claims": {**FOUND.claims, "more": True}}, "all claims of its experiment; it lacks more"),
        ({"claims": {**FOUND.claims, "more": False}}, "all claims of its experiment; it lacks more"),
        ({"numbers": {"n": 3, "x": 2.5}}, "numbers that its experiment computes; got gain"),
        ({"numbers": {**FOUND.numbers, "m": 1.0}}, "all numbers of its experiment; it lacks m"),
        (
            {"tables": {"c": CELLS.rename(index={"first": "other"})}},
            "cells that its experiment computes; got .*first",
        ),
        ({"tables": {"c": CELLS.drop(columns="theta")}}, "columns of its table 'c'; got eta, which, theta"),
        ({"tables": {}}, "tables that its experiment computes; got c"),
    ],
)
def test_a_template_and_its_experiment_must_name_the_same_things(changes, words):
    with pytest.raises(ValueError, match=words):
        render(TEMPLATE, change(**changes))


@pytest.mark.parametrize("mark", ["[[so] ]", "[[so]]", "{{ n", "{{ two words }}", "[[/]]", "[[learners]]"])
def test_a_mark_that_cannot_be_read_is_refused(mark):
    with pytest.raises(ValueError, match="marks must be closed and well formed"):
        render(TEMPLATE + mark, FOUND)


def test_without_learners_what_is_said_of_them_is_left_out():
    claims = {"so": True, "large": True}
    text = render(TEMPLATE, change(learners="missing", claims=claims, numbers={"n": 3, "x": 2.5}))
    assert MISSING in text
    assert "Learners end" not in text


def test_tables_have_the_headings_of_the_template_and_so_have_tables_with_the_same_columns():
    shown = with_headings(TEMPLATE, FOUND, "c")
    assert shown.columns.tolist() == ["η", "which", "|θ|"]
    more = change(tables={"c": CELLS, "all": CELLS, "other": pd.DataFrame({"a": [1]})})
    pd.testing.assert_frame_equal(with_headings(TEMPLATE, more, "all"), shown)
    assert with_headings(TEMPLATE, more, "other").columns.tolist() == ["a"]
    assert tables_of(TEMPLATE)["c"].caption == "A caption:"


def test_a_page_keeps_the_other_sections_and_lists_all_answers_in_order():
    section = render(TEMPLATE, FOUND)
    old = assemble("", {"two": section.strip(), "one": r"1 \1 \g<0> $x$"})
    assert old.index("<!-- one -->") < old.index("<!-- two -->")
    new = assemble(old, {"discount": section.replace("Is it so?", "Why?").strip()})
    assert r"1 \1 \g<0> $x$" in new
    rows = [line for line in new.splitlines() if line.endswith("` |")]
    assert rows == [
        r"| Is it so? | Yes, it is 3. | \|θ\| of 12.3 % | `python -m scripts.reproduce two` |",
        r"| Why? | Yes, it is 3. | \|θ\| of 12.3 % | `python -m scripts.reproduce discount` |",
    ]
    assert assemble(new, {}) == new


@pytest.mark.parametrize("name", EXPERIMENTS)
class TestEveryTemplate:
    def test_each_answer_is_a_claim(self, name):
        answers = answers_in(read_template(name))
        assert answers
        for question, answer, _ in answers:
            assert question.endswith("?")
            bound = answer.removeprefix("[[learners]] ").removesuffix(" [[/learners]]")
            assert bound.startswith("[[")
            assert bound.endswith(". [[/]]")
            assert len(claims_of(bound)) >= 1
            assert bound.count("[[/]]") == 1

    def test_what_is_emphasized_is_a_claim(self, name):
        text = read_template(name)
        for sentence in claims_of(text).values():
            text = text.replace(sentence, "")
        body = text.split("\n\n", 2)[2]
        assert "**" not in body.replace("**Question:**", "").replace("**Answer:**", "").replace(
            "**Effect:**", ""
        )

    def test_it_says_where_its_figure_is(self, name):
        assert f"](results/{name}.png)" in read_template(name)

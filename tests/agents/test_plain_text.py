"""Text of users is shown as given, wherever some of its characters mean something to what shows it."""

import io
import warnings

import pytest
from matplotlib.figure import Figure

from agents.plain_text import code_span, escape_markdown, escape_mathtext, printable, shorten

HOSTILE = [
    "sac[seed1]",
    "x[/]",
    "$\\frac{$",
    "$x$ and $y",
    "\\$5",
    "_hidden",
    "<script>alert(1)</script>",
    "# heading",
    "a | b",
    "`code`",
    "nul\0",
    "two\nlines\r\nand \u2028 more",
    "\x1b[31mred",
    "[a](javascript:1)",
    "*a* __b__ ~~c~~ &amp;",
    "word " * 1000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_become_one_line_that_can_be_printed(text):
    line = printable(text)
    assert line.isprintable()
    assert len(line) <= 1000


@pytest.mark.parametrize("text", ["sac[seed1]", "x[/]", "two  blanks", "θ", "a | b", "C:\\new"])
def test_what_can_be_printed_is_shown_as_given(text):
    assert printable(text) == text


def test_control_characters_are_shown_by_their_escapes():
    assert printable("\x1b[31m\0") == "\\x1b[31m\\x00"


def test_the_ends_of_a_long_name_are_kept():
    assert shorten("runs/one/model.zip", 11) == "runs/…l.zip"
    assert shorten("abcdef", 3) == "a…f"
    assert shorten("abc", 3) == "abc"


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_holds_no_live_markup(text):
    escaped = escape_markdown(text)
    assert "\n" not in escaped
    for mark in "<>$":
        assert mark not in escaped
    for mark in "`*[]~#":
        assert escaped.count(mark) == escaped.count(f"\\{mark}") + (mark == "#") * escaped.count("&#")


@pytest.mark.parametrize(
    "text", ["learning_rate 0.001", "my_package.module:function", "Intel(R) Xeon(R) @ 2.20GHz"]
)
def test_usual_text_needs_no_escapes(text):
    assert escape_markdown(text) == text


@pytest.mark.parametrize("text", ["plain", "with ` one", "with `` two"])
def test_code_ends_where_its_fence_does(text):
    span = code_span(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    assert span.strip("`").strip() == text
    assert fence not in text


@pytest.mark.parametrize("text", HOSTILE)
def test_figures_show_any_text_and_none_as_math(text):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], label=escape_mathtext(text))
    axes.set(title=escape_mathtext(text))
    legend = axes.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # glyphs that a font lacks
        figure.savefig(io.BytesIO())
    assert len(legend.get_texts()) == 1
    assert not any(
        part.get_parse_math() and "$" in part.get_text().replace(r"\$", "") for part in legend.get_texts()
    )

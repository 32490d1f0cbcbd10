"""Tables for people: drawn in the terminal, or written as Markdown."""

import errno
import itertools
import math
import os
from typing import Literal, NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from agents.plain_text import printable, shorten

_HEADINGS = {
    "c_first": "c first",
    "c_last_training": "c last\ntraining",
    "c_deployment": "c in\ndeployment",
    "goal_after_training": "θ after\ntraining",
    "retention": "goal\nretention",
    "base_loss_training": "base loss\ntraining",
    "base_loss_deployment": "base loss\ndeployment",
    "mesa_cost": "agent 0's\nmesa cost",
    "nash_conv": "NashConv",
    "compliance_gap": "compliance\ngap",
}
_WIDE, _SHORTEST_NAME = 132, 12


class Screen(Console):
    """A terminal that shows all text as it is given, and says so if nobody reads it."""

    def __init__(self, width: int | None = None, stderr: bool = False) -> None:
        """Write to standard output or error; the width is by default the terminal's."""
        super().__init__(width=width, stderr=stderr, markup=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Leave to the caller what Rich would turn into exit code 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class _Column(NamedTuple):
    """A column of a table: numbers are shown whole at any width, names may be cut."""

    heading: str
    cells: list[str]
    is_name: bool

    def width(self, narrowest: bool = False) -> int:
        """Cells of the terminal that its text takes; if `narrowest`, with the heading's words in lines."""
        heading = self.heading.split() if narrowest else self.heading.split("\n")
        lines = [line for cell in self.cells for line in cell.split("\n")]
        return max(map(cell_len, ["", *heading, *lines]))


def show_summary(summary: pd.DataFrame, title: str) -> None:
    """Print one row per agent: each metric's mean, over ± half its confidence interval if it has one."""
    names = _Column("agent", [printable(agent) for agent in summary.index], True)
    metrics = [
        _Column(
            heading, [_cell(*row[["mean", "low", "high"]]) for _, row in summary[metric].iterrows()], False
        )
        for metric, heading in _HEADINGS.items()
    ]
    _print_parts(title, [names, *metrics])
    unit = "in units of their own θ²; in GoalTraining, of θ·φ."
    console().print(f"NashConv: what all agents could gain, each deviating alone, {unit}")


def show(table: pd.DataFrame, title: str) -> None:
    """Print a data frame as it is, numbers to 4 significant digits."""
    columns = [
        _Column(str(name), list(map(_text, column)), not is_numeric_dtype(column))
        for name, column in table.items()
    ]
    _print_parts(title, columns)


def _print_parts(title: str, columns: list[_Column]) -> None:
    """Print a table: whole if it fits, else in parts, each of which has the names that it begins with."""
    room = console().width
    names = list(itertools.takewhile(lambda column: column.is_name, columns))
    others = columns[len(names) :] or [_Column("", [""] * len(columns[0].cells), False)]
    for count, narrowest in itertools.product(range(1, len(others) + 1), (False, True)):
        size = -(-len(others) // count)
        parts = [[*names, *others[start : start + size]] for start in range(0, len(others), size)]
        needed = max(sum(_least_width(column, room, narrowest) + 2 for column in part) + 1 for part in parts)
        if needed <= room:
            break
    for part in parts:
        Screen(max(room, needed)).print(_draw_part(title, part, max(room, needed), room, narrowest))


def _draw_part(title: str, part: list[_Column], room: int, screen: int, narrowest: bool) -> Table:
    """One part of a table; names share the room that numbers leave."""
    least = [_least_width(column, screen, narrowest) for column in part]
    left = room - sum(width + 2 for width in least) - 1
    table = Table(title=title, header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    cells = []
    for column, width in zip(part, least, strict=True):
        more = min(left, column.width() - width) if column.is_name else 0
        left -= more
        justify: Literal["left", "right"] = "left" if column.is_name else "right"
        table.add_column(column.heading, justify=justify, width=width + more)
        cells.append([_cut_words(cell, width + more) if column.is_name else cell for cell in column.cells])
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def _least_width(column: _Column, screen: int, narrowest: bool) -> int:
    """What a column needs at least: all of its numbers, or a readable part of its names."""
    width = column.width(narrowest)
    return min(width, max(_SHORTEST_NAME, screen // 4)) if column.is_name else width


def _cut_words(text: str, width: int) -> str:
    """A text of which every word fits into a column."""
    return " ".join(shorten(word, width) for word in text.split(" "))


def markdown_table(table: pd.DataFrame) -> str:
    """A data frame as a Markdown table, numbers to 4 significant digits; cells are escaped."""
    rows = [map(_text, row) for row in table.itertuples(index=False)]
    lines = [map(str, table.columns), ["---"] * len(table.columns), *rows]
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def console() -> Screen:
    """The terminal; other output without `COLUMNS` is wide enough for one table of a summary."""
    terminal = Screen()
    return terminal if terminal.is_terminal or "COLUMNS" in os.environ else Screen(_WIDE)


def number(value: float) -> str:
    """A number to 4 significant digits; – for NaN."""
    if math.isnan(value):
        return "–"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.1e}"
    return f"{value:.4g}"


def _text(value: object) -> str:
    return number(value) if isinstance(value, float) else printable(value)


def _cell(mean: float, low: float, high: float) -> str:
    half = (high - low) / 2
    # Rounding noise among games that differ only in scale is no uncertainty.
    if math.isnan(half) or half <= 1e-9 * abs(mean):
        return number(mean)
    return f"{number(mean)}\n± {number(float(f'{half:.2g}'))}"

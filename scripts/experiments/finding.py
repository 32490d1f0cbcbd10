"""What an experiment returns: numbers, claims, tables and a figure, but no prose."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure

from agents.benchmark import tables

Source = Literal["trained", "recorded", "missing"]
"""Where measures of learners come from: models found here, the documentation's tables, or nowhere."""


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes:
        numbers: What fills the holes of the experiment's template, by name.
        claims: Whether the numbers support each claim of the template, by name.
        tables: Data frames with their headings, by file name without suffix.
        figure: The figure.
        learners: Where measures of learners come from; None if the experiment has no learners.
    """

    numbers: Mapping[str, float | str]
    claims: Mapping[str, bool]
    tables: Mapping[str, pd.DataFrame]
    figure: Figure
    learners: Source | None = None


def with_headings(frame: pd.DataFrame, headings: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a data frame that have headings, in their order, under those headings."""
    return frame[list(headings)].rename(columns=dict(headings))


def wrapped(text: str) -> str:
    """Paragraphs, however they were broken, in lines that are pleasant to read."""
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
    return "\n\n".join(
        textwrap.fill(paragraph, 110, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    )


def markdown(table: pd.DataFrame) -> str:
    """A data frame as a Markdown table, numbers to 4 significant digits."""
    rows = table.itertuples(index=False)
    cells = [[tables.number(cell) if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    lines = [list(map(str, table.columns)), ["---"] * len(table.columns), *cells]
    return "\n".join(map(_line, lines))


def _line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

"""Tables for people: drawn in the terminal, or written as Markdown."""

import math

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

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
_WIDE = 132


def show_summary(summary: pd.DataFrame, title: str) -> None:
    """Print one row per agent: each metric's mean, over ± half its confidence interval if it has one.

    All metrics share one table if the terminal is wide enough; otherwise there are two tables.
    """
    screen, metrics = console(), list(_HEADINGS)
    size = len(metrics) if screen.width >= _WIDE else len(metrics) // 2
    for start in range(0, len(metrics), size):
        part = metrics[start : start + size]
        table = Table(title=title, header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("agent", no_wrap=True)
        for metric in part:
            table.add_column(_HEADINGS[metric], justify="right", no_wrap=True)
        for agent, row in summary.iterrows():
            table.add_row(str(agent), *(_cell(*row[metric][["mean", "low", "high"]]) for metric in part))
        screen.print(table)
    screen.print("NashConv: what all agents could gain, each deviating alone, in units of their own θ².")


def show(table: pd.DataFrame, title: str) -> None:
    """Print a data frame as it is, numbers to 4 significant digits."""
    screen = Table(title=title, header_style="bold", box=box.SIMPLE_HEAD)
    for column in table.columns:
        screen.add_column(str(column), justify="left" if table[column].dtype == object else "right")
    for row in table.itertuples(index=False):
        screen.add_row(*map(_text, row))
    console().print(screen)


def markdown_table(table: pd.DataFrame) -> str:
    """A data frame as a Markdown table, numbers to 4 significant digits; cells are escaped."""
    rows = [map(_text, row) for row in table.itertuples(index=False)]
    lines = [map(str, table.columns), ["---"] * len(table.columns), *rows]
    escaped = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def console() -> Console:
    """The terminal; where output is not a terminal, a console wide enough for one table."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_WIDE)


def number(value: float) -> str:
    """A number to 4 significant digits; – for NaN."""
    if math.isnan(value):
        return "–"
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.1e}"
    return f"{value:.4g}"


def _text(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _cell(mean: float, low: float, high: float) -> str:
    half = (high - low) / 2
    # Rounding noise among games that differ only in scale is no uncertainty.
    if math.isnan(half) or half <= 1e-9 * abs(mean):
        return number(mean)
    return f"{number(mean)}\n± {number(float(f'{half:.2g}'))}"

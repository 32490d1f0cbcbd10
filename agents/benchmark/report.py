"""The report of a sweep: fills the holes of docs/templates/benchmark.md, and checks the notes' claims."""

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

import pandas as pd

import agents
import mesa_env
from agents.benchmark import figures, report_tables
from agents.benchmark.losses import summarize_losses
from agents.benchmark.summaries import Sweep, second_half_factor
from agents.benchmark.tables import markdown_table
from agents.learning.algorithms import TUNING_SEED
from agents.plain_text import code_span
from mesa_env import Game
from mesa_env.evaluation import statistics

_TEMPLATE = Path(__file__).parents[2] / "docs" / "templates" / "benchmark.md"
_REFERENCES = {"myopic": "c = 1 throughout", "guard": "full deception by hand"}
_CHECK = re.compile(r"<!-- check: (\w+) of (.+?) on (\S+) (<=|>=|==|<|>) (\S+) -->")
_START, _MOST_CHECKS, _LONGEST_CHECK = "<!-- check:", 1000, 500
_OPERATORS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}


def measure_references(sweep: Sweep) -> dict[str, dict[str, float]]:
    """NashConv of two fixed profiles in every base game, for scale."""

    def measure(game: Game, name: str) -> float:
        return mesa_env.nash_conv(game, mesa_env.rollout(game, agents.make(name, game), 1.0).coefficients)

    return {
        label: {title: measure(game, name) for name, title in _REFERENCES.items()}
        for label, game in sweep.games.items()
        if type(game) is Game
    }


def fill_template(
    sweep: Sweep,
    summary: pd.DataFrame,
    references: Mapping[str, Mapping[str, float]],
    folder: str,
    command: str,
    notes: str,
) -> str:
    """The report in Markdown, of `summaries.summarize(sweep)` and `measure_references(sweep)`.

    `folder` is that of figures and tables, as the page links to it; `command` is what writes the report.

    Raises:
        ValueError: If the rows do not support a check in the notes.
    """
    losses = summarize_losses(sweep)
    summary = summary.assign(second_half=[second_half_factor(rows) for *_, rows in sweep.entries()])
    check_notes(notes, summary.merge(losses, how="left", on=["game", "contestant"]))
    tables = {
        "sweep": report_tables.describe_sweep(sweep),
        "answers": report_tables.answer(sweep, summary),
        "overall": report_tables.compare_overall(sweep),
        "games": report_tables.describe_games(sweep, references),
        "losses": report_tables.describe_losses(losses),
        "failures": report_tables.list_failures(sweep),
        "redone": report_tables.count_redone(sweep),
        "parameters": report_tables.describe_parameters(sweep),
        "metrics": pd.DataFrame(mesa_env.METRICS.items(), columns=["metric", "meaning"]),
    }
    sections = []
    for label in sweep.games:
        table = markdown_table(report_tables.compare_learners(summary[summary["game"] == label]))
        figure = f"![Learning curves on {label}]({folder}/learning_{label}.png)"
        sections.append(f"### {label}\n\n{table}\n\n{figure}")
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        {name: markdown_table(table) if len(table) else "None." for name, table in tables.items()},
        sections="\n\n".join(sections),
        folder=folder,
        command=code_span(command),
        notes=notes.strip(),
        tuning_seed=TUNING_SEED,
        confidence=f"{100 * statistics.CONFIDENCE:g}",
        resamples=statistics.RESAMPLES,
        fewest=statistics.FEWEST,
        largest=f"{figures.LARGEST_SHOWN:g}",
    )


def check_notes(notes: str, numbers: pd.DataFrame) -> None:
    """Hold notes to a sweep's numbers.

    A check is the comment `<!-- check: COLUMN of LEARNER on GAME <= NUMBER -->`, or with another comparison;
    `numbers` has one row per game and contestant.

    Raises:
        ValueError: If a check fails, cannot be read, or asks for a number that the sweep does not have.
    """
    checks = notes.split(_START)[1:]
    if len(checks) > _MOST_CHECKS:
        raise ValueError(f"notes must have at most {_MOST_CHECKS} checks; got {len(checks)}")
    for rest in checks:
        body, end, _ = rest.partition("-->")
        check = f"{_START}{body[:_LONGEST_CHECK]}{end}"
        parts = _CHECK.fullmatch(check)
        if parts is None:
            raise ValueError(f"checks are <!-- check: COLUMN of LEARNER on GAME <= NUMBER -->; got {check}")
        column, learner, game, comparison, bound = parts.groups()
        rows = numbers[(numbers["game"] == game) & (numbers["contestant"] == learner)]
        if column not in rows or rows.empty:
            raise ValueError(f"the sweep has no {column} of {learner} on {game}, which {check} needs")
        try:
            value, limit = float(rows[column].iloc[0]), float(bound)
        except ValueError as error:
            raise ValueError(f"a check compares numbers; {check} does not") from error
        if not _OPERATORS[comparison](value, limit):
            raise ValueError(f"notes must follow from the rows; {column} is {value:g}, which fails {check}")

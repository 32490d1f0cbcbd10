"""What an experiment finds, and how it is written down."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

import agents
import mesa_env
from agents.atomic_files import write_atomically
from agents.benchmark import tables
from mesa_env import Game
from mesa_env.agent import Agent
from mesa_env.rules.infinite_horizon import with_fixed_length

TRAINED = Path("runs/variants")
"""Where `make variants` leaves what it has trained: one run folder a learner and seed."""
SEEDS = (0, 1, 2)
COLUMNS = {
    "c_first": "c first",
    "c_last_training": "c last training",
    "retention": "goal retention",
    "mesa_cost": "J_0",
}
"""What is said of learners, by metric, with the headings."""


_OPENING = re.compile(r"<!-- answers -->.*?<!-- end -->", flags=re.DOTALL)


class Answer(NamedTuple):
    """A question, its answer in one sentence, and how large the effect is."""

    question: str
    answer: str
    effect: str


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes:
        title: Heading of its section.
        answers: What it answers.
        text: Markdown, its numbers filled in from what was computed.
        figure: The figure.
        tables: Data frames by file name without suffix; written as CSV.
        shown: Names of those that the section shows, too, with their captions.
    """

    title: str
    answers: list[Answer]
    text: str
    figure: Figure
    tables: Mapping[str, pd.DataFrame]
    shown: Mapping[str, str] = field(default_factory=dict)

    def section(self, name: str) -> str:
        """The Markdown section of experiment `name`, between marks by which it is found again."""
        parts = [f"<!-- {name} -->", f"## {self.title}"]
        parts += [
            f"- **Question:** {asked}\n- **Answer:** {answer}\n- **Effect:** {effect}"
            for asked, answer, effect in self.answers
        ]
        parts += [wrapped(self.text), f"![{self.title}](results/{name}.png)"]
        parts += [f"{caption}\n\n{markdown(self.tables[shown])}" for shown, caption in self.shown.items()]
        parts += [f"`{command(name)} --docs docs` writes this section anew.", f"<!-- end of {name} -->"]
        return "\n\n".join(parts) + "\n"


def command(name: str) -> str:
    """The command that regenerates an experiment."""
    return f".venv/bin/python scripts/reproduce.py {name}"


def confirmed(sentence: str, holds: object) -> str:
    """A sentence that what was computed supports.

    Raises:
        ValueError: If it does not, any more: then the sentence must be written anew.
    """
    if not holds:
        raise ValueError(
            f"an experiment's text must follow from its numbers; these no longer support: {sentence}"
        )
    return sentence


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


def update(document: Path, name: str, finding: Finding) -> None:
    """Put a finding's section, and its lines of the opening table, into the document of all results."""
    text = document_of_results(document, name)
    text = _marked(name).sub(lambda _: finding.section(name), text)
    rows = [
        row for experiment in re.findall(r"<!-- end of (\w+) -->", text) for row in _rows(text, experiment)
    ]
    table = "\n".join(["| question | answer | effect size | command |", "| --- | --- | --- | --- |", *rows])
    text = _OPENING.sub(lambda _: f"<!-- answers -->\n{table}\n<!-- end -->", text)
    write_atomically(document, text.encode())


def document_of_results(path: Path, name: str) -> str:
    """The document that holds all results, if it has a place for experiment `name`.

    Raises:
        ValueError: If it does not.
    """
    if not path.exists():
        raise ValueError(f"--docs must name a folder with a results.md; there is none at {path}")
    text = path.read_text(encoding="utf-8")
    if not (_marked(name).search(text) and _OPENING.search(text)):
        raise ValueError(
            f"{path} must have marks for its opening table and for {name}'s section; one is missing"
        )
    return text


def _marked(name: str) -> re.Pattern[str]:
    return re.compile(rf"<!-- {name} -->.*?<!-- end of {name} -->\n", flags=re.DOTALL)


def _rows(text: str, name: str) -> list[str]:
    """An experiment's lines in the opening table, as its section in the document has them."""
    section = re.search(rf"<!-- {name} -->(.*?)<!-- end of {name} -->", text, flags=re.DOTALL)
    told = r"- \*\*Question:\*\* (.*)\n- \*\*Answer:\*\* (.*)\n- \*\*Effect:\*\* (.*)"
    found = re.findall(told, section[1] if section else "")
    return [_line([*answer, f"`{command(name)}`"]) for answer in found]


def trained(learner: str) -> dict[str, Agent]:
    """The models that `make variants` has trained of a learner, by seed; empty where there are none."""
    models = {f"seed {seed}": TRAINED / f"{learner}-{seed}" / "model.zip" for seed in SEEDS}
    return {label: agents.load(path) for label, path in models.items() if path.exists()}


def learned(
    learner: str,
    game: Game,
    goals: ArrayLike = (0.8, -0.4),
    columns: Mapping[str, str] = COLUMNS,
    oracle: Agent | None = None,
) -> pd.DataFrame:
    """How the oracle and the trained learners do in `game`: one row an agent, means over its games.

    Args:
        learner: Name of the learner in `make variants`.
        game: The game.
        goals: θ_0 of the games.
        columns: Metrics to show, with their headings, after the relative exploitability.
        oracle: What to compare with, if it is not the game's.
    """
    contestants = {"oracle": oracle or mesa_env.oracle(game), **trained(learner)}
    games = mesa_env.compare(game, contestants, np.asarray(goals))
    games["relative_exploitability"] *= 100
    shown = {"relative_exploitability": "relative exploitability, %", **columns}
    return games.groupby("agent", sort=False)[list(shown)].mean().rename(columns=shown).reset_index()


def draw_learners(axes: Axes, learner: str, game: Game, episodes: int = 31) -> None:
    """Coefficients by episode from θ_0 = 0.8: the oracle's, and those of the trained learners beside it."""
    for label, agent in {"oracle": mesa_env.oracle(game), **trained(learner)}.items():
        coefficients = mesa_env.rollout(with_fixed_length(game), agent, 0.8).coefficients[:episodes]
        style = {"color": "0.2", "linewidth": 2.5} if label == "oracle" else {"linewidth": 1.0}
        axes.plot(coefficients, label=label, **style)
    axes.set(xlabel="episode", ylabel="coefficient c", title=f"oracle and learners ({learner})")
    axes.legend(fontsize="small")


def note_on_learners(table: pd.DataFrame, learner: str) -> str:
    """A sentence on how close to equilibrium the trained learners are."""
    seeds = table[table["agent"] != "oracle"]
    if seeds.empty:
        return f"(No learner `{learner}` was found in `{TRAINED}`: `make variants` trains it.)"
    worst = seeds["relative exploitability, %"].max()
    mean = seeds["relative exploitability, %"].mean()
    return (
        f"PPO self-play (`{learner}`, {len(seeds)} seeds) ends with a relative exploitability of "
        f"{tables.number(mean)} % on average, {tables.number(worst)} % at worst."
    )

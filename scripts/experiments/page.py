r"""Pages of results: templates whose holes are filled with numbers and whose claims are checked.

A template is Markdown, one sentence per line, with these marks:

- `{{ name }}` is the number `name`, to 4 significant digits, and `{{ table[0.1, first].c_0 }}` a cell of a
  table; `{{ name | .1f }}` is formatted as Python does, `{{ name | percent }}` or `{{ name | percent .1f }}`
  as a percentage;
- `{{ rows table: field field }}`, under a caption and the heading of a Markdown table, is the rest of it;
- `[[name]] … [[/]]` encloses what the claim `name` (or several) must support;
- `[[learners]] … [[/learners]]` encloses what is said only if there are measures of learners.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agents.atomic_files import check_place
from agents.benchmark.run_folder import RunFolder
from agents.benchmark.tables import markdown_table, number
from scripts.experiments import EXPERIMENTS
from scripts.experiments.finding import Finding, select

TEMPLATES = Path(__file__).parents[2] / "docs" / "templates"
MISSING = "(No learners were measured: `make variants` trains them, and --learners plays them.)"

_CLAIM = re.compile(r"\[\[(?!learners\]\])([\w ]+)\]\]\s*(.*?)\s*\[\[/\]\]", flags=re.DOTALL)
_LEARNERS = re.compile(r"\[\[learners\]\]\s*(.*?)\s*\[\[/learners\]\]", flags=re.DOTALL)
_TABLE = re.compile(
    r"^(?P<caption>.+)\n\n\| (?P<head>.+) \|\n\| --.*\n\{\{ rows (?P<name>\w+): (?P<fields>.+) \}\}$",
    re.MULTILINE,
)
_NUMBER = re.compile(r"\{\{ (?P<name>\w+)(\[(?P<key>.+?)\]\.(?P<field>\w+))?( \| (?P<form>[^}]+))? \}\}")
_LEFTOVER = re.compile(r"\[\[.*?\]\]|\{\{.*?\}\}|\[\[|\{\{")
_ANSWER = re.compile(r"- \*\*Question:\*\* (.*)\n- \*\*Answer:\*\* (.*)\n- \*\*Effect:\*\* (.*)")
_SECTION = re.compile(r"<!-- (\w+) -->\n\n(.*?)\n\n<!-- end of \1 -->\n", flags=re.DOTALL)


class Table(NamedTuple):
    """A table of a template: its caption, and its headings by field."""

    caption: str
    headings: dict[str, str]


def read_template(name: str) -> str:
    """The template of an experiment's section."""
    return (TEMPLATES / "results" / f"{name}.md").read_text(encoding="utf-8").strip()


def tables_of(template: str) -> dict[str, Table]:
    """The tables that a template shows, by name."""
    found = {}
    for match in _TABLE.finditer(template):
        headings = match["head"].replace("\\|", "|").split(" | ")
        by_field = dict(zip(match["fields"].split(), headings, strict=True))
        found[match["name"]] = Table(match["caption"], by_field)
    return found


def with_headings(template: str, finding: Finding, name: str) -> pd.DataFrame:
    """A table under its headings in a template, or under those of one that it shows with the same columns.

    Raises:
        ValueError: If the template shows columns that the table does not have.
    """
    frame, shown = finding.tables[name], tables_of(template)
    frame = frame.reset_index() if frame.index.names[0] else frame
    for _, headings in [shown[name]] if name in shown else shown.values():
        if headings.keys() <= set(frame.columns):
            return frame[list(headings)].rename(columns=headings)
    if name in shown:
        fields = ", ".join(shown[name].headings)
        raise ValueError(f"a template must show columns of its table {name!r}; got {fields}")
    return frame


def claims_of(template: str) -> dict[str, str]:
    """What a template's claims must support, by their names."""
    return {name: text for names, text in _CLAIM.findall(template) for name in names.split()}


def answers_in(section: str) -> list[tuple[str, str, str]]:
    """The questions that a section answers, each with its answer and the size of the effect."""
    return _ANSWER.findall(section)


def render(template: str, finding: Finding) -> str:
    """Fill in a template.

    Raises:
        ValueError: If the numbers do not support a claim, if template and finding do not name the same claims
            and numbers, or if a mark cannot be read.
    """
    missing = finding.learners == "missing"
    text = _LEARNERS.sub(lambda block: MISSING if missing else block[1], template)
    claims = claims_of(text)
    _match_names("claims", claims, finding.claims)
    for name, sentence in claims.items():
        if not finding.claims[name]:
            raise ValueError(f"the numbers do not support the claim {name!r}: {' '.join(sentence.split())}")
    text = _CLAIM.sub(lambda claim: claim[2], text)
    shown = tables_of(text)
    _match_names("tables", shown, shown.keys() & finding.tables.keys())
    text = _TABLE.sub(
        lambda hole: f"{hole['caption']}\n\n{markdown_table(with_headings(template, finding, hole['name']))}",
        text,
    )
    alone = [hole["name"] for hole in _NUMBER.finditer(text) if not hole["key"]]
    _match_names("numbers", alone, finding.numbers)
    text = _NUMBER.sub(lambda hole: _fill(finding, hole), text)
    if leftover := _LEFTOVER.search(text):
        raise ValueError(f"a template's marks must be closed and well formed; {leftover[0]!r} is not")
    return text


def open_documentation(docs: Path, files: Sequence[str]) -> RunFolder:
    """The documentation's folder of figures and tables; ValueError if it or results.md is not our own."""
    if not (docs / "results.md").is_file():
        raise ValueError(f"--docs must name a folder with a results.md; there is none at {docs}")
    check_place(docs, "results.md")
    if not _SECTION.search((docs / "results.md").read_text(encoding="utf-8", errors="replace")):
        raise ValueError(f"--docs must name a folder with a results.md of this command; {docs} has another")
    return RunFolder.within(docs, "results", "reproduce", files)


def assemble(results: str, sections: Mapping[str, str]) -> str:
    """Write docs/results.md again: its template, with sections in the order of `EXPERIMENTS`.

    Args:
        results: The page so far, whose other sections are kept.
        sections: Rendered sections, by experiment.
    """
    kept = {**dict(_SECTION.findall(results)), **sections}
    ordered = {name: kept[name] for name in EXPERIMENTS if name in kept}
    rows = []
    for name, section in ordered.items():
        for answer in answers_in(section):
            cells = (cell.replace("|", "\\|") for cell in answer)
            rows.append(f"| {' | '.join(cells)} | `python -m scripts.reproduce {name}` |")
    marked = [f"<!-- {name} -->\n\n{section}\n\n<!-- end of {name} -->" for name, section in ordered.items()]
    text = (TEMPLATES / "results.md").read_text(encoding="utf-8")
    return text.replace("{{ answers }}", "\n".join(rows)).replace("{{ sections }}", "\n\n".join(marked))


def _fill(finding: Finding, hole: re.Match[str]) -> str:
    """The number, or the cell of a table, that a hole names, in the hole's format."""
    value: Any = finding.numbers.get(hole["name"])
    if hole["key"]:
        try:
            frame = finding.tables[hole["name"]]
            labeled = frame.rename(index=lambda label: label if isinstance(label, str) else f"{label:g}")
            value = select(labeled, *hole["key"].split(", ", frame.index.nlevels - 1))[hole["field"]]
        except KeyError as error:
            message = f"a template may only name cells that its experiment computes; got {hole[0]}"
            raise ValueError(message) from error
    value = value.item() if isinstance(value, np.generic) else value
    form = hole["form"] or ""
    if form.startswith("percent"):
        return f"{format(100 * value, form.removeprefix('percent').strip() or '.0f')} %"
    if form:
        return format(value, form)
    return number(value) if isinstance(value, float) else str(value)


def _match_names(kind: str, used: Iterable[str], computed: Iterable[str]) -> None:
    """Check that a template uses all that its experiment computes, and nothing else."""
    for names, complaint in (
        (set(used) - set(computed), f"a template may only use {kind} that its experiment computes; got"),
        (set(computed) - set(used), f"a template must use all {kind} of its experiment; it lacks"),
    ):
        if names:
            raise ValueError(f"{complaint} {', '.join(sorted(names))}")

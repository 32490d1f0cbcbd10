"""Pages of results: templates whose holes are filled with numbers and whose claims are checked.

A template is Markdown, one sentence per line, with four kinds of marks:

- `{{ name }}` is the number `name`, to 4 significant digits; `{{ name | .1f }}` is formatted as Python does,
  and `{{ name | percent }}` or `{{ name | percent +.1f }}` as a percentage;
- `{{ table name }}` is a table; the line above it is its caption;
- `[[name]] … [[/]]` encloses what the claim `name` (or several) must support;
- `[[learners]] … [[/learners]]` encloses what is said only if there are measures of learners.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from agents.benchmark.tables import number
from scripts.experiments import EXPERIMENTS
from scripts.experiments.finding import Finding, markdown

TEMPLATES = Path(__file__).parents[2] / "docs" / "templates"
MISSING = "(No trained learners were found: `make variants` trains them.)"

_CLAIM = re.compile(r"\[\[(?!learners\]\])([\w ]+)\]\]\s*(.*?)\s*\[\[/\]\]", flags=re.DOTALL)
_LEARNERS = re.compile(r"\[\[learners\]\]\s*(.*?)\s*\[\[/learners\]\]", flags=re.DOTALL)
_TABLE = re.compile(r"\{\{ table (\w+) \}\}")
_NUMBER = re.compile(r"\{\{ (\w+)(?: \| ([^}]*?))? \}\}")
_CAPTIONED = re.compile(r"^(.+)\n\n\{\{ table (\w+) \}\}$", flags=re.MULTILINE)
_LEFTOVER = re.compile(r"\[\[.*?\]\]|\{\{.*?\}\}|\[\[|\{\{")
_ANSWERED = re.compile(r"- \*\*Question:\*\* (.*)\n- \*\*Answer:\*\* (.*)\n- \*\*Effect:\*\* (.*)")
_SECTION = re.compile(r"<!-- (\w+) -->\n\n(.*?)\n\n<!-- end of \1 -->\n", flags=re.DOTALL)


class Answer(NamedTuple):
    """A question, its answer, and how large the effect is."""

    question: str
    answer: str
    effect: str


def read_template(name: str) -> str:
    """The template of an experiment's section."""
    return (TEMPLATES / "results" / f"{name}.md").read_text(encoding="utf-8").strip()


def captions(template: str) -> dict[str, str]:
    """Captions of the tables that a template shows, by name."""
    return {table: caption for caption, table in _CAPTIONED.findall(template)}


def claims(template: str) -> dict[str, str]:
    """What a template's claims must support, by their names."""
    return {name: text for names, text in _CLAIM.findall(template) for name in names.split()}


def answers(section: str) -> list[Answer]:
    """The questions that a rendered section answers."""
    return [Answer(*found) for found in _ANSWERED.findall(section)]


def render(template: str, finding: Finding) -> str:
    """Fill in a template.

    Raises:
        ValueError: If the numbers do not support a claim, or if template and finding do not name the same
            claims and numbers, or if a table or number cannot be filled in.
    """
    without = finding.learners == "missing"
    text = _LEARNERS.sub(lambda block: MISSING if without else block[1], template)
    claimed = claims(text)
    _match_names("claims", claimed, finding.claims)
    for name, sentence in claimed.items():
        if not finding.claims[name]:
            raise ValueError(f"the numbers do not support the claim {name!r}: {' '.join(sentence.split())}")
    text = _CLAIM.sub(lambda claim: claim[2], text)
    _match_names("numbers", [name for name, _ in _NUMBER.findall(text)], finding.numbers)
    text = _NUMBER.sub(lambda hole: _format(finding.numbers[hole[1]], hole[2] or ""), text)
    shown = _TABLE.findall(text)
    _match_names("tables", shown, [name for name in finding.tables if name in shown])
    text = _TABLE.sub(lambda hole: markdown(finding.tables[hole[1]]), text)
    leftover = _LEFTOVER.search(text)
    if leftover:
        raise ValueError(f"a template's marks must be closed and well formed; {leftover[0]!r} is not")
    return text


def assemble(results: str, sections: Mapping[str, str]) -> str:
    """Write docs/results.md again: its template with sections in the order of `EXPERIMENTS`.

    Args:
        results: The page so far, whose other sections are kept.
        sections: Rendered sections, by experiment.
    """
    kept = dict(_SECTION.findall(results)) | sections
    ordered = {name: kept[name] for name in EXPERIMENTS if name in kept}
    rows = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in (*answer, f"`{command(name)}`")) + " |"
        for name, section in ordered.items()
        for answer in answers(section)
    ]
    marked = [f"<!-- {name} -->\n\n{section}\n\n<!-- end of {name} -->" for name, section in ordered.items()]
    text = (TEMPLATES / "results.md").read_text(encoding="utf-8")
    return text.replace("{{ answers }}", "\n".join(rows)).replace("{{ sections }}", "\n\n".join(marked))


def command(name: str) -> str:
    """The command that regenerates an experiment."""
    return f"python -m scripts.reproduce {name}"


def _format(value: float | str, form: str) -> str:
    if form.startswith("percent"):
        return f"{format(100 * float(value), form.removeprefix('percent').strip() or '.0f')} %"
    if form:
        return format(value, form)
    return number(value) if isinstance(value, float) else str(value)


def _match_names(kind: str, used: Iterable[str], computed: Iterable[str]) -> None:
    """Check that a template uses all that its experiment computes, and nothing else."""
    unknown, unused = sorted(set(used) - set(computed)), sorted(set(computed) - set(used))
    if unknown:
        raise ValueError(
            f"a template must use what its experiment computes; it has no {kind} {', '.join(unknown)}"
        )
    if unused:
        raise ValueError(
            f"a template must use all that its experiment computes; it lacks {kind} {', '.join(unused)}"
        )

"""What tests of faults share: how many to try, and a table of what was tried (`make faults`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROWS = pytest.StashKey[list[tuple[str, int, int, int]]]()
MARKS = re.compile(r"(<!-- faults -->\n).*?(<!-- end of faults -->)", flags=re.DOTALL)


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How many times as many faults to try as in `make test`."""
    return request.config.getoption("--faults")


@pytest.fixture
def record_faults(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`record_faults(kind, tried, failures, lost=())` adds a row to the table; failures fail the test."""
    rows = request.config.stash.setdefault(ROWS, [])

    def record(kind: str, tried: int, failures: Sequence[object], lost: Sequence[object] = ()) -> None:
        assert tried > 0
        rows.append((kind, tried, len(failures), len(lost)))
        assert not failures, f"{len(failures)} of {tried} failed, the first: {failures[0]}"
        assert not lost, f"{len(lost)} of {tried} were lost, the first: {lost[0]}"

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and write it where --faults-table says; in a page, between its marks."""
    rows = config.stash.get(ROWS, [])
    path = config.getoption("--faults-table")
    if not (rows and path):
        return
    lines = ["| kind | tried | failed | lost |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {kind} | {tried:,} | {failed} | {lost} |" for kind, tried, failed, lost in rows]
    table, page = "\n".join(lines) + "\n", Path(path)
    terminalreporter.write_line(table)
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if MARKS.search(text):
        command = f"Written by `make faults FAULTS={config.getoption('--faults')}`."
        table = MARKS.sub(lambda marks: f"{marks[1]}{table}\n{command}\n{marks[2]}", text)
    page.write_text(table, encoding="utf-8")

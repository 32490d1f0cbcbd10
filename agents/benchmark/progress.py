"""One line of progress: how many runs are done, failed and running, and how long the rest will take."""

import math

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents.benchmark.run import Result
from agents.benchmark.tables import Screen


class SweepProgress(Progress):
    """A line in the terminal while a sweep runs; a context manager."""

    def __init__(self, runs: int, slots: int, console: Console | None = None) -> None:
        """Show progress through `runs` runs, of which up to `slots` run at once."""
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        super().__init__(*columns, console=console or Screen(stderr=True), speed_estimate_period=math.inf)
        self._left, self._slots, self._failures = runs, slots, 0
        self._line = self.add_task(self._status(), total=runs)

    def count(self, result: Result) -> None:
        """Count a run that has ended."""
        self._left -= 1
        self._failures += result.row["status"] == "failed"
        self.update(self._line, advance=1, description=self._status(), refresh=True)

    def _status(self) -> str:
        failed = f", [red]{self._failures} failed[/red]" if self._failures else ""
        return f"{min(self._slots, self._left)} running{failed}"

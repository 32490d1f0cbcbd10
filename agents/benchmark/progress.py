"""One line of progress: how many runs are done, failed and running, and how long the rest will take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from statistics import fmean

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from agents.benchmark.run import Result, Run


class SweepProgress:
    """A line in the terminal while a sweep runs; a context manager."""

    def __init__(self, runs: Iterable[Run], slots: int, console: Console | None = None) -> None:
        """Show progress through `runs`, of which up to `slots` run at once."""
        self._left = {run.id: run for run in runs}
        self._slots, self._failed, self._estimate = slots, 0, DurationEstimate()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _TimeLeft(),
            console=console or Console(stderr=True),
        )
        self._task = self._bar.add_task(self._status(), total=len(self._left), left=None, at=0.0)

    def __enter__(self) -> SweepProgress:
        """Show the line."""
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Leave the line as it is."""
        self._bar.stop()

    def advance(self, run: Run, result: Result) -> None:
        """Count a run that has ended."""
        del self._left[run.id]
        self._failed += result.row["status"] == "failed"
        if result.row["status"] == "finished":
            self._estimate.add(run, result.elapsed)
        left = self._estimate.seconds(self._left.values())
        self._bar.update(
            self._task,
            advance=1,
            description=self._status(),
            left=None if left is None else left / self._slots,
            at=time.monotonic(),
            refresh=True,
        )

    def _status(self) -> str:
        running = min(self._slots, len(self._left))
        return f"{running} running" + (f", [red]{self._failed} failed[/red]" if self._failed else "")


class DurationEstimate:
    """Estimates how long runs take from the most similar runs so far: same algorithm and game if any."""

    def __init__(self) -> None:
        """Start without observations."""
        self._rates: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, run: Run, elapsed: float) -> None:
        """Add an observation: a run took `elapsed` seconds."""
        for kind in _kinds(run):
            self._rates[kind].append(elapsed / run.turns)

    def seconds(self, runs: Collection[Run]) -> float | None:
        """How long runs will take one after the other; None while there are no observations."""
        if not self._rates:
            return None
        rates = (next(self._rates[kind] for kind in _kinds(run) if kind in self._rates) for run in runs)
        return sum(fmean(rate) * run.turns for rate, run in zip(rates, runs, strict=True))


class _TimeLeft(ProgressColumn):
    """The estimated time left, counted down between the ends of runs."""

    def render(self, task: Task) -> Text:
        if task.fields["left"] is None or task.finished:
            return Text("")
        left = max(0.0, task.fields["left"] - (time.monotonic() - task.fields["at"]))
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"about {hours}:{minutes:02}:{seconds:02} left")


def _kinds(run: Run) -> list[tuple[str, ...]]:
    """Groups that a run belongs to, from the narrowest to the widest."""
    return [(run.algorithm, run.label), (run.algorithm,), ()]

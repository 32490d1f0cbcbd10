"""One line of progress: what is done, what has failed, what is running, and how long the rest will take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable
from statistics import fmean
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from agents.benchmark.run import Result, Run


class SweepProgress:
    """A line in the terminal while a sweep is at work; a context manager."""

    def __init__(self, runs: Iterable[Run], slots: int, console: Console | None = None) -> None:
        """Show progress through `runs`, `slots` of which run at once."""
        self._left = {run.id: run for run in runs}
        self._slots, self._failed, self._estimate = slots, 0, Estimate()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _TimeLeft(),
            console=console or Console(stderr=True),
        )
        self._task = self._bar.add_task(self._standing(), total=len(self._left), left=None, at=0.0)

    def __enter__(self) -> SweepProgress:
        """Draw the line."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the line as it is."""
        self._bar.stop()

    def finished(self, run: Run, result: Result) -> None:
        """Count a run."""
        del self._left[run.id]
        self._failed += result.row["status"] == "failed"
        if result.row["status"] == "finished":
            self._estimate.add(run, result.elapsed)
        left = self._estimate.seconds(self._left.values())
        self._bar.update(
            self._task,
            advance=1,
            description=self._standing(),
            left=None if left is None else left / self._slots,
            at=time.monotonic(),
            refresh=True,
        )

    def _standing(self) -> str:
        running = min(self._slots, len(self._left))
        return f"{running} running" + (f", [red]{self._failed} failed[/red]" if self._failed else "")


class Estimate:
    """How long a run takes, by those of the same algorithm in the same game so far, or those most like it."""

    def __init__(self) -> None:
        """Know nothing."""
        self._rates: dict[tuple[str, ...], list[float]] = defaultdict(list)

    def add(self, run: Run, elapsed: float) -> None:
        """Learn how long a run has taken."""
        for kind in _kinds(run):
            self._rates[kind].append(elapsed / run.turns)

    def seconds(self, runs: Collection[Run]) -> float | None:
        """How long runs will take, one after the other; None while nothing is known."""
        if not self._rates:
            return None
        rates = (next(self._rates[kind] for kind in _kinds(run) if kind in self._rates) for run in runs)
        return sum(fmean(rate) * run.turns for rate, run in zip(rates, runs, strict=True))


class _TimeLeft(ProgressColumn):
    """The estimate, counted down between one run's end and the next one's."""

    def render(self, task: Task) -> Text:
        if task.fields["left"] is None or task.finished:
            return Text("")
        left = max(0.0, task.fields["left"] - (time.monotonic() - task.fields["at"]))
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"about {hours}:{minutes:02}:{seconds:02} left")


def _kinds(run: Run) -> list[tuple[str, ...]]:
    """What a run is one of, from the narrowest to the widest."""
    return [(run.algorithm, run.label), (run.algorithm,), ()]

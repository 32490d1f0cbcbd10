"""What the rows of a sweep say: per game and contestant, over seeds.

A *contestant* is an algorithm with its number of turns; if no game has an algorithm with two different
numbers of turns, a contestant goes by its algorithm's name alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agents.benchmark.row_checks import check_rows, check_size
from agents.benchmark.store import LISTS
from agents.learning.algorithms import ALGORITHMS
from agents.limits import build_bounded_game
from agents.text_files import parse_json
from mesa_env.evaluation import statistics
from mesa_env.rules.rules import Array, Rules

THRESHOLDS = (0.1, 0.01)
"""NashConv at or below which a learner is close to the equilibrium, and has found it."""
_RUN = ["run_id", "game", "algorithm", "turns", "seed"]
_NO_RUN = {"nash_conv": np.nan, "seed": np.nan}


@dataclass(frozen=True)
class Sweep:
    """A sweep's rows, sorted by contestant, game and seed."""

    rows: pd.DataFrame
    """One row per run, with the column `contestant`."""
    redone: pd.DataFrame
    """One row per run that was run a second time; may be empty."""
    games: Mapping[str, Rules]
    """Every game by its label."""
    contestants: Mapping[str, str]
    """Every contestant, with the name of its algorithm; in the order of figures and tables."""

    @classmethod
    def of(cls, rows: pd.DataFrame, redone: pd.DataFrame) -> Self:
        """Check and sort a sweep's rows.

        Raises:
            ValueError: If no run has finished, two games share one label, or a row is not from a sweep.
        """
        needed = "a report needs at least one finished run"
        if rows.empty:
            raise ValueError(f"{needed}; the sweep has no rows yet")
        check_rows(rows, redone)
        if not (rows["status"] == "finished").any():
            first = last_line(rows["traceback"].iloc[0])
            raise ValueError(f"{needed}; all {len(rows)} of the sweep failed, the first with {first!r}")
        games = _build_games(rows)
        budgets = rows.groupby(["game", "algorithm"])["turns"].nunique()
        several = budgets[budgets > 1].index.get_level_values("algorithm")
        algorithms, full = rows["algorithm"], rows["algorithm"] + " " + rows["turns"].astype(str)
        rows = rows.assign(
            contestant=algorithms.where(~algorithms.isin(several), full),
            rank=[(*ALGORITHMS, name).index(name) for name in algorithms],  # others follow, by name
        )
        rows = rows.sort_values(["rank", "algorithm", "turns", "game", "seed"], kind="stable")
        contestants = dict(zip(rows["contestant"], rows["algorithm"], strict=True))
        check_size(len(games), len(contestants))
        return cls(rows.drop(columns="rank").reset_index(drop=True), redone, games, contestants)

    @property
    def finished(self) -> pd.DataFrame:
        """The rows of runs that finished."""
        return self.rows[self.rows["status"] == "finished"]

    def entries(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Game, contestant and its rows, for every game that a contestant has runs of."""
        for game in self.games:
            for contestant in self.contestants:
                rows = self.run(game, contestant)
                if len(rows):
                    yield game, contestant, rows

    def run(self, game: str, contestant: str) -> pd.DataFrame:
        """A contestant's rows of a game."""
        return self.rows[(self.rows["game"] == game) & (self.rows["contestant"] == contestant)]


def last_line(traceback: str) -> str:
    """The line of a traceback that names the error."""
    lines = traceback.strip().splitlines()
    return lines[-1].strip() if lines else "no traceback"


def _build_games(rows: pd.DataFrame) -> dict[str, Rules]:
    games = {}
    for label, texts in rows.groupby("game")["game_json"]:
        if texts.nunique() > 1:
            raise ValueError(f"a label must stand for one game; {label!r} stands for {texts.nunique()}")
        try:
            games[str(label)] = build_bounded_game(parse_json(texts.iloc[0]))
        except ValueError as error:
            raise ValueError(f"game_json of {label} must describe a game: {error}") from error
    return games


def list_pairs(rows: pd.DataFrame, first: str, second: str) -> list[tuple[Array, Array]]:
    """Two parallel lists of every run that has entries in them, as arrays."""
    return [
        (np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64))
        for one, other in zip(rows[first], rows[second], strict=True)
        if one is not None and other is not None and len(one)
    ]


def learning_curves(rows: pd.DataFrame, time: str) -> list[tuple[Array, Array]]:
    """The learning curves of runs: times in `time`, turns or seconds, and NashConv."""
    return list_pairs(rows, f"curve_{time}", "curve_nash_conv")


def second_half_factor(rows: pd.DataFrame) -> float:
    """By how much NashConv is multiplied in the second half of a run's turns: the median over runs."""
    factors = []
    for turns, values in learning_curves(rows, "turns"):
        middle = values[np.searchsorted(turns, turns[-1] / 2)]
        factors.append(values[-1] / middle if middle > 0 else np.nan)
    return _median(factors)


def summarize(sweep: Sweep) -> pd.DataFrame:
    """One row per game and contestant: every number in the report's tables."""
    return pd.DataFrame(
        {"game": game, "contestant": contestant} | _summarize_runs(rows)
        for game, contestant, rows in sweep.entries()
    )


def _summarize_runs(rows: pd.DataFrame) -> dict[str, object]:
    done = rows[rows["status"] == "finished"]
    nash_conv = done["nash_conv"].to_numpy(dtype=np.float64)
    ranked = done[np.isfinite(nash_conv)].sort_values("nash_conv", kind="stable")
    # A run that failed, or whose NashConv could not be measured, is as far away as can be.
    reached = np.nan_to_num(rows["nash_conv"].to_numpy(dtype=np.float64), nan=np.inf)
    best, worst = (ranked.iloc[end] if len(ranked) else _NO_RUN for end in (0, -1))
    row: dict[str, object] = {
        "algorithm": rows["algorithm"].iloc[0],
        "turns": int(rows["turns"].iloc[0]),
        "runs": len(rows),
        "failed": len(rows) - len(done),
        "measured": len(ranked),
        **_estimate("nash_conv", nash_conv),
        "nash_conv_median": float(np.median(reached)),
        "best": float(best["nash_conv"]),
        "best_seed": float(best["seed"]),
        "worst": float(worst["nash_conv"]),
        "worst_seed": float(worst["seed"]),
        **_estimate("retention", done["retention"]),
        "oracle_retention": _median(done["oracle_retention"]),
        **_estimate("retention_difference", done["retention"] - done["oracle_retention"]),
        **_estimate("relative_exploitability", done["relative_exploitability"]),
        "seconds": _median(done["seconds"]),
    }
    for threshold in THRESHOLDS:
        for time in ("turns", "seconds"):
            times = [statistics.first_time(*curve, threshold) for curve in learning_curves(done, time)]
            times += [np.inf] * (len(rows) - len(times))
            row[f"reached_{threshold:g}"] = int(np.isfinite(times).sum())
            row[f"{time}_to_{threshold:g}"] = float(np.median(times))
    return row


def _estimate(name: str, *strata: ArrayLike) -> dict[str, float]:
    value, low, high = statistics.estimate(*strata)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _median(values: ArrayLike) -> float:
    numbers = statistics.finite(values)
    return float(np.median(numbers)) if len(numbers) else np.nan


def summarize_all_games(sweep: Sweep) -> pd.DataFrame:
    """One row per contestant: relative exploitability over the runs of all games, stratified by game."""
    table = []
    for contestant in sweep.contestants:
        done, runs = (rows[rows["contestant"] == contestant] for rows in (sweep.finished, sweep.rows))
        strata = [stratum.to_numpy() for _, stratum in done.groupby("game")["relative_exploitability"]]
        counts = {"games": runs["game"].nunique(), "runs": len(runs), "failed": len(runs) - len(done)}
        table.append({"contestant": contestant, **counts, **_estimate("relative_exploitability", *strata)})
    return pd.DataFrame(table)


def runs_table(sweep: Sweep) -> pd.DataFrame:
    """One row per run, without its lists."""
    return sweep.rows.drop(columns=["contestant", *LISTS])


def curves_table(sweep: Sweep) -> pd.DataFrame:
    """One row per measurement of a run's learning curve."""
    return _explode(sweep, "curve_")


def episodes_table(sweep: Sweep) -> pd.DataFrame:
    """One row per episode of a run."""
    table = _explode(sweep, "episode_")
    table.insert(len(_RUN), "episode", table.groupby("run_id").cumcount())
    return table


def _explode(sweep: Sweep, prefix: str) -> pd.DataFrame:
    """Parallel lists of the finished runs, one row per entry."""
    lists = [name for name in LISTS if name.startswith(prefix)]
    table = sweep.finished[_RUN + lists].explode(lists).dropna(subset=lists, how="all")
    types = {name: "int64" if name == "curve_turns" else "float64" for name in lists}
    return table.reset_index(drop=True).astype(types)

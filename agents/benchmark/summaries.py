"""What the rows of a sweep say: per game and contestant, over seeds.

A *contestant* is an algorithm with its number of turns; where no game has an algorithm with two of
them, it goes by the algorithm's name alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

import mesa_env
from mesa_env import GAMES, Game
from mesa_env.evaluation import statistics
from mesa_env.evaluation.statistics import Estimate, estimate, finite
from mesa_env.rules.game import Array
from mesa_env.rules.infinite_horizon import with_fixed_length

THRESHOLDS = (0.1, 0.01)
"""NashConv by which a learner is said to come close to the equilibrium, and to find it."""
LISTS = (
    "curve_turns",
    "curve_seconds",
    "curve_nash_conv",
    "curve_relative_exploitability",
    "curve_retention",
    "episode_exploitability",
    "episode_excess",
)
COLUMNS = (
    *("run_id", "game", "algorithm", "turns", "seed", "status", "traceback", "game_json", "parameters_json"),
    *("seconds", *mesa_env.METRICS, "oracle_retention", "oracle_nash_conv", "weights"),
    *LISTS,
    *("git_revision", "versions_json", "processor", "started"),
)
"""What every row of a sweep has."""
KNOWN = ("ppo", "a2c", "sac", "td3", "tqc", "crossq")
"""The order in which algorithms are told of; others follow by name."""


class Losses(NamedTuple):
    """What each agent n could gain, and by erring in which direction; every array has shape (N,).

    Attributes:
        exploitability: Interquartile mean over runs of the relative exploitability.
        excess: The same of c as played minus c of the best response.
        open_runs: How many runs showed too much of their goal.
        runs: How many runs this is of.
        open_share: Of everything that the runs could gain, the share of agents that show too much.
    """

    exploitability: Array
    excess: Array
    open_runs: Array
    runs: int
    open_share: float


@dataclass(frozen=True)
class Sweep:
    """A sweep's rows.

    Attributes:
        rows: One row a run, with the column `contestant`; in the order of contestants, games and seeds.
        redone: One row a run that was run a second time; none where that was not done.
        games: Every game by its label.
        contestants: Every contestant, with the name of its algorithm.
    """

    rows: pd.DataFrame
    redone: pd.DataFrame
    games: Mapping[str, Game]
    contestants: Mapping[str, str]

    @classmethod
    def of(cls, rows: pd.DataFrame, redone: pd.DataFrame) -> Sweep:
        """Check and arrange a sweep's rows.

        Raises:
            ValueError: If a column is missing, no run has finished, or two games go by one label.
        """
        if rows.empty:
            raise ValueError("a report needs at least one finished run; the sweep has no rows yet")
        missing = [name for name in COLUMNS if name not in rows]
        if missing:
            raise ValueError(f"a sweep's rows must have the column {missing[0]!r}; it is missing")
        finished = rows["status"] == "finished"
        if not finished.any():
            raise ValueError(
                f"a report needs at least one finished run; all {len(rows)} of the sweep failed, the first "
                f"with {last_line(rows['traceback'].iloc[0])!r}"
            )
        games = _games(rows)
        budgets = rows.groupby(["game", "algorithm"])["turns"].nunique()
        several = set(budgets[budgets > 1].index.get_level_values("algorithm"))
        names = [
            f"{algorithm} {turns}" if algorithm in several else algorithm
            for algorithm, turns in zip(rows["algorithm"], rows["turns"], strict=True)
        ]
        rows = rows.assign(contestant=names, rank=[(*KNOWN, name).index(name) for name in rows["algorithm"]])
        rows = rows.sort_values(["rank", "algorithm", "turns", "game", "seed"], kind="stable")
        contestants = dict(zip(rows["contestant"], rows["algorithm"], strict=True))
        return cls(rows.drop(columns="rank").reset_index(drop=True), redone, games, contestants)

    @property
    def finished(self) -> pd.DataFrame:
        """The rows of runs that finished."""
        return self.rows[self.rows["status"] == "finished"]

    @property
    def failed(self) -> pd.DataFrame:
        """The rows of runs that did not."""
        return self.rows[self.rows["status"] != "finished"]

    def entries(self) -> Iterator[tuple[str, str, pd.DataFrame]]:
        """Game, contestant and its rows, wherever a contestant was run."""
        for game in self.games:
            for contestant in self.contestants:
                rows = self.run(game, contestant)
                if len(rows):
                    yield game, contestant, rows

    def run(self, game: str, contestant: str) -> pd.DataFrame:
        """A contestant's rows of a game."""
        return self.rows[(self.rows["game"] == game) & (self.rows["contestant"] == contestant)]


def short(turns: int) -> str:
    """A number of turns in few letters: 1.5M, 200k, 64."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if turns >= size:
            return f"{turns / size:.4g}{letter}"
    return str(turns)


def last_line(traceback: str) -> str:
    """The line of a traceback that names the error."""
    lines = traceback.strip().splitlines()
    return lines[-1].strip() if lines else "no traceback"


def training_episodes(game: Game) -> Array | None:
    """1 for each training episode, 0 for each of deployment, shape (N,); nothing where chance decides it."""
    certain = with_fixed_length(game)
    return None if certain.stochastic else certain.training.astype(np.float64)


def _games(rows: pd.DataFrame) -> dict[str, Game]:
    games = {}
    for label, texts in rows.groupby("game")["game_json"]:
        if texts.nunique() > 1:
            raise ValueError(f"a label must stand for one game; {label!r} stands for {texts.nunique()}")
        games[str(label)] = game_of(texts.iloc[0])
    return games


def game_of(text: str) -> Game:
    """The game that a row's `game_json` describes.

    Raises:
        ValueError: If it describes none.
    """
    kinds = {kind.__name__: kind for kind in GAMES.values()}
    try:
        parameters = json.loads(text)
        kind = kinds[parameters.pop("rules")]
        pairs = {name: tuple(value) for name, value in parameters.items() if _is_range(name, value)}
        return kind(**parameters | pairs)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"game_json must hold the rules and parameters of a game; got {text[:80]!r}"
        ) from error


def _is_range(name: str, value: object) -> bool:
    return isinstance(value, list) and name != "learning_rates"


def curves(rows: pd.DataFrame, time: str, value: str) -> list[tuple[Array, Array]]:
    """The learning curves of runs: times by `time`, such as turns, and the metric `value`."""
    return [
        (np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64))
        for times, values in zip(rows[f"curve_{time}"], rows[f"curve_{value}"], strict=True)
        if times is not None and values is not None and len(times)
    ]


def losses(rows: pd.DataFrame) -> Losses | None:
    """What each agent of finished runs could gain, over runs; nothing where that was not measured."""
    pairs = [
        (np.asarray(gains, dtype=np.float64), np.asarray(excess, dtype=np.float64))
        for gains, excess in zip(rows["episode_exploitability"], rows["episode_excess"], strict=True)
        if gains is not None and excess is not None
    ]
    pairs = [pair for pair in pairs if len(pair[0]) and np.isfinite(pair).all()]
    if not pairs:
        return None
    gains, excess = (np.stack(part) for part in zip(*pairs, strict=True))
    gains = gains.clip(0)  # what rounding leaves below 0 is nothing to gain
    everything = gains.sum()
    return Losses(
        statistics.interquartile_mean(gains, axis=0),
        statistics.interquartile_mean(excess, axis=0),
        (excess > 0).sum(axis=0).astype(np.float64),
        len(gains),
        float(gains[excess > 0].sum() / everything) if everything else np.nan,
    )


def summary(sweep: Sweep) -> pd.DataFrame:
    """One row a game and contestant: every number that the report tells."""
    return pd.DataFrame(
        [
            {"game": game, "contestant": contestant, **_summarized(rows)}
            for game, contestant, rows in sweep.entries()
        ]
    )


def _summarized(rows: pd.DataFrame) -> dict[str, object]:
    done = rows[rows["status"] == "finished"]
    nash_conv = done["nash_conv"].to_numpy(dtype=np.float64)
    ranked = done[np.isfinite(nash_conv)].sort_values("nash_conv", kind="stable")
    difference = done["retention"] - done["oracle_retention"]
    row: dict[str, object] = {
        "algorithm": rows["algorithm"].iloc[0],
        "turns": int(rows["turns"].iloc[0]),
        "runs": len(rows),
        "failed": len(rows) - len(done),
        "measured": len(ranked),
        **_parts("nash_conv", estimate(nash_conv)),
        # A run that failed, or whose NashConv could not be told, has come nowhere near.
        "nash_conv_median": float(np.median(np.nan_to_num(_numbers(rows), nan=np.inf))),
        **{
            f"{name}{part}": float(ranked[column].iloc[end]) if len(ranked) else np.nan
            for name, end in (("best", 0), ("worst", -1))
            for part, column in (("", "nash_conv"), ("_seed", "seed"))
        },
        **_parts("retention", estimate(done["retention"])),
        "oracle_retention": _median(done["oracle_retention"]),
        **_parts("retention_difference", estimate(difference)),
        **_parts("relative_exploitability", estimate(done["relative_exploitability"])),
        "seconds": _median(done["seconds"]),
    }
    for threshold in THRESHOLDS:
        for time in ("turns", "seconds"):
            times = [statistics.first_time(*curve, threshold) for curve in curves(done, time, "nash_conv")]
            times += [np.inf] * (len(rows) - len(times))
            row[f"reached_{threshold:g}"] = int(np.isfinite(times).sum())
            row[f"{time}_to_{threshold:g}"] = float(np.median(times))
    return row


def _numbers(rows: pd.DataFrame) -> Array:
    return rows["nash_conv"].to_numpy(dtype=np.float64)


def _parts(name: str, estimated: Estimate) -> dict[str, float]:
    return {name: estimated.value, f"{name}_low": estimated.low, f"{name}_high": estimated.high}


def _median(values: pd.Series | Array) -> float:
    numbers = finite(values)
    return float(np.median(numbers)) if len(numbers) else np.nan


def overall(sweep: Sweep) -> pd.DataFrame:
    """One row a contestant: relative exploitability over the runs of all games, stratified by game."""
    rows = []
    for contestant in sweep.contestants:
        own = sweep.finished[sweep.finished["contestant"] == contestant]
        runs = sweep.rows[sweep.rows["contestant"] == contestant]
        strata = [stratum.to_numpy() for _, stratum in own.groupby("game")["relative_exploitability"]]
        rows.append(
            {
                "contestant": contestant,
                "games": runs["game"].nunique(),
                "runs": len(runs),
                "failed": len(runs) - len(own),
                **_parts("relative_exploitability", estimate(*strata)),
            }
        )
    return pd.DataFrame(rows)


def runs_table(sweep: Sweep) -> pd.DataFrame:
    """One row a run, without its lists."""
    return sweep.rows.drop(columns=list(LISTS))


def curves_table(sweep: Sweep) -> pd.DataFrame:
    """One row a run and measurement of its learning curve."""
    return _long(sweep.finished, [name for name in LISTS if name.startswith("curve_")])


def episodes_table(sweep: Sweep) -> pd.DataFrame:
    """One row a run and episode."""
    table = _long(sweep.finished, [name for name in LISTS if name.startswith("episode_")])
    table.insert(list(table.columns).index("seed") + 1, "episode", table.groupby("run_id").cumcount())
    return table


def _long(rows: pd.DataFrame, lists: list[str]) -> pd.DataFrame:
    """Lists that stand side by side, one row an entry."""
    names = ["run_id", "game", "algorithm", "turns", "seed"]
    table = rows[names + lists].explode(lists).dropna(subset=lists, how="all").reset_index(drop=True)
    return table.astype({name: "int64" if name == "curve_turns" else "float64" for name in lists})

"""What a report takes for granted of a sweep's rows, checked before it is written."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from agents.benchmark.grid import check_label
from agents.benchmark.store import LISTS
from agents.limits import LARGEST_SEED, MOST_EPISODES, MOST_PLAYED, MOST_TURNS
from agents.text_files import parse_json
from mesa_env.validation import validate_whole

MOST_GAMES, MOST_CELLS = 100, 1000
"""Games of a report, and learners × games: figures have a row for each."""

_TIMES = ("curve_turns", "curve_seconds")


def check_rows(rows: pd.DataFrame, redone: pd.DataFrame) -> None:
    """Refuse rows that no sweep, or no comparison with runs that were redone, writes.

    Raises:
        ValueError: If a row's text, numbers or lists do not fit together, two rows are of one run, or there
            are more games or episodes than a report can show.
    """
    if redone.isna().any(axis=None):
        raise ValueError("rows of runs that were redone must have all of their values; some are missing")
    for row in rows.to_dict("records"):
        try:
            _check_row(row)
        except ValueError as error:
            raise ValueError(
                f"a row must be as a sweep writes it; that of {row['run_id']!r}: {error}"
            ) from error
    ((run_id, count),) = Counter(rows["run_id"]).most_common(1)
    if count > 1:
        raise ValueError(f"every run must have one row; {run_id!r} has {count}")
    episodes = rows["episode_excess"].map(_length)
    if episodes.sum() > MOST_PLAYED:
        raise ValueError(f"rows must have at most {MOST_PLAYED} episodes in all; got {episodes.sum()}")
    for label, lengths in episodes[episodes > 0].groupby(rows["game"]):
        if lengths.nunique() > 1:
            raise ValueError(f"all runs of {label} must have as many episodes; got {sorted(set(lengths))}")


def check_size(games: int, contestants: int) -> None:
    """Refuse a report whose figures would not fit into an image."""
    if games > MOST_GAMES or games * contestants > MOST_CELLS:
        raise ValueError(
            f"a report has at most {MOST_GAMES} games, and {MOST_CELLS} pairs of a game and a learner; "
            f"got {games} games and {contestants} learners"
        )


def _check_row(row: Mapping[Any, Any]) -> None:
    for name in ("run_id", "game", "algorithm", "status"):
        if not isinstance(row[name], str) or not row[name]:
            raise ValueError(f"{name} must be text; got {row[name]!r}")
    check_label(row["game"])
    if row["status"] not in ("finished", "failed"):
        raise ValueError(f"status must be finished or failed; got {row['status']!r}")
    for name, low, high in (("turns", 1, MOST_TURNS), ("seed", 0, LARGEST_SEED)):
        number = row[name]
        whole = isinstance(number, float) and number.is_integer()
        validate_whole(name, int(number) if whole else number, low, high)
    for name in ("parameters_json", "versions_json"):
        try:
            parse_json(row[name] if isinstance(row[name], str) else "")
        except ValueError as error:
            raise ValueError(f"{name} must be a JSON object: {error}") from error
    for kind in ("curve_", "episode_"):
        lengths = {_length(row[name]) for name in LISTS if name.startswith(kind)}
        if len(lengths) > 1 or max(lengths) > MOST_EPISODES:
            raise ValueError(
                f"lists of {kind}… must be equally long, at most {MOST_EPISODES}; got {sorted(lengths)}"
            )
    for name in _TIMES:
        times = np.asarray(row[name] if _length(row[name]) else [], dtype=np.float64)
        if not (np.isfinite(times).all() and (times >= 0).all() and (np.diff(times) >= 0).all()):
            raise ValueError(f"{name} must be numbers ≥ 0 in ascending order")


def _length(entry: Any) -> int:
    """Length of a list; 0 if there is none."""
    return len(entry) if isinstance(entry, list | np.ndarray) else 0

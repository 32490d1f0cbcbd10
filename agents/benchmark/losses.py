"""Which agents of a game lose what they could gain, and in which direction they err."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from agents.benchmark.summaries import Sweep, list_pairs
from mesa_env.evaluation import statistics
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Array
from mesa_env.rules.scalar import ScalarGame


class Losses(NamedTuple):
    """What each agent n could gain, and in which direction it errs: interquartile means over runs."""

    exploitability: Array
    """Relative exploitability, shape (N,)."""
    excess: Array
    """c as played minus c of the best response, shape (N,)."""
    open_share: float
    """Of everything that the runs could gain, the share of agents that show too much."""


def training_episodes(game: ScalarGame) -> Array | None:
    """1 for each training episode and 0 for each of deployment, shape (N,); None if that is random."""
    fixed = with_fixed_length(game)
    return None if fixed.stochastic else fixed.training.astype(np.float64)


def average_losses(rows: pd.DataFrame) -> Losses | None:
    """What each agent of finished runs could gain, over runs; None if that was not measured."""
    pairs = list_pairs(rows, "episode_exploitability", "episode_excess")
    pairs = [pair for pair in pairs if np.isfinite(pair).all()]
    if not pairs:
        return None
    gains, excess = (np.stack(part) for part in zip(*pairs, strict=True))
    gains = gains.clip(0)  # rounding can leave less than 0, which is nothing to gain
    total = gains.sum()
    open_share = float(gains[excess > 0].sum() / total) if total else np.nan
    mean_gains, mean_excess = (statistics.interquartile_mean(part, axis=0) for part in (gains, excess))
    return Losses(mean_gains, mean_excess, open_share)


def summarize_losses(sweep: Sweep) -> pd.DataFrame:
    """Which agents lose what could be gained: one row per game and contestant with such losses.

    Columns: `first` and `last` of the fewest neighboring agents that have half of all losses; `in_training`,
    the share of agents in training; `training_error`, the mean |excess| of these; and `open_share`. What
    depends on training is NaN where that is random.
    """
    rows = []
    for label, contestant, runs in sweep.entries():
        losses = average_losses(runs[runs["status"] == "finished"])
        if losses is None or not losses.exploitability.sum():
            continue
        first, last = statistics.shortest_half(losses.exploitability)
        training, share, error = training_episodes(sweep.games[label]), np.nan, np.nan
        if training is not None and len(training) == len(losses.exploitability):
            share = float(losses.exploitability[training == 1].sum() / losses.exploitability.sum())
            error = float(np.abs(losses.excess[training == 1]).mean())
        rows.append((label, contestant, first, last, share, error, losses.open_share))
    columns = ["game", "contestant", "first", "last", "in_training", "training_error", "open_share"]
    return pd.DataFrame(rows, columns=columns)

"""Curves of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes


def plot_groups(
    axes: Axes, frame: pd.DataFrame, x: str, y: str, by: Sequence[str], label: str, **style: Any
) -> None:
    """Plot `y` over `x`, one line per value of the columns `by`, which fill in `label`."""
    for key, rows in frame.reset_index().groupby(list(by), sort=False):
        axes.plot(rows[x], rows[y], label=label.format(*key), **style)
    axes.legend(fontsize="small")

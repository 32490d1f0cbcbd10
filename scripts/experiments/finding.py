"""What an experiment returns: tables, a figure, claims and numbers, but no prose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from mesa_env.evaluation.trajectory import Trajectory

Source = Literal["trained", "recorded", "missing"]
"""Where measures of learners come from: models found here, the documentation's tables, or nowhere."""
Claims = dict[str, Any]
"""Whether each claim holds, by name; values may be NumPy's booleans."""
TRAINING = 20
"""Training episodes of most experiments."""


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    Attributes:
        tables: Data frames by name, indexed by what identifies a row; columns have plain names.
        figure: The figure.
        claims: Whether the numbers support each claim of the experiment's template, by name.
        numbers: Numbers of the template that are not in a table, by name.
        learners: Where measures of learners come from; None if the experiment has no learners.
    """

    tables: Mapping[str, pd.DataFrame]
    figure: Figure
    claims: Claims
    numbers: Mapping[str, float] = field(default_factory=dict)
    learners: Source | None = None


def select(frame: pd.DataFrame, *key: float | str) -> Any:
    """Rows, or the row, of a data frame by the first levels of its index."""
    rows: Any = frame.loc
    return rows[key if len(key) > 1 else key[0]]


def describe(played: Trajectory) -> dict[str, float]:
    """Coefficients, goals and base losses of a game of 20 training episodes, then deployment."""
    return {
        "c_0": played.coefficients[0],
        "c_19": played.coefficients[TRAINING - 1],
        "c_training": played.coefficients[:TRAINING].mean(),
        "theta_20": played.goals[TRAINING],
        "retention": played.goals[TRAINING] / played.goals[0],
        "loss_training": played.base_losses[:TRAINING].mean(),
        "loss_deployment": played.base_losses[TRAINING:].mean(),
    }

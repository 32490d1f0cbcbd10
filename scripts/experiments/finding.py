"""What an experiment returns: tables, a figure, claims and numbers, but no prose; and what many compute."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

import mesa_env
from mesa_env.agent import Agent
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.rules import Array, Rules

Source = Literal["trained", "recorded", "missing"]
"""Where measures of learners come from: models found here, the documentation's tables, or nowhere."""
Claims = dict[str, Any]
"""Whether each claim holds, by name; values may be NumPy's booleans."""
TRAINING, GOAL = 20, 0.8
"""Training episodes and θ_0 of most experiments."""


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


def play(game: Rules, agent: Agent | None = None, goal: ArrayLike = GOAL) -> Trajectory:
    """Play one game, or one from each goal; the agent is by default the oracle."""
    return mesa_env.rollout(game, agent or mesa_env.oracle(game), goal)


def first_agent_costs(game: Rules, played: Trajectory) -> Array:
    """J_0 of one game or of each game of a batch, shape (B,)."""
    goals, outputs = np.atleast_2d(played.goals[..., :-1], played.outputs)
    costs: Array = game.mesa_costs(goals.T, outputs.T)[0]
    return costs


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


def sweep(
    measure: Callable[..., Mapping[str, Any]], keys: list[str], settings: Iterable[tuple[Any, ...]]
) -> pd.DataFrame:
    """Measures in all settings, one row each, indexed by `keys`: the values in which settings differ."""
    settings = list(settings)
    with ThreadPoolExecutor() as pool:  # the solvers' kernels release the GIL
        rows = list(pool.map(measure, *zip(*settings, strict=True)))
    index = pd.DataFrame(settings, columns=keys)
    return index.join(pd.DataFrame(rows)).set_index(keys)


def select(frame: pd.DataFrame, *key: float | str) -> Any:
    """Rows, or the row, of a data frame by the first levels of its index."""
    rows: Any = frame.loc
    return rows[key if len(key) > 1 else key[0]]


def plot_groups(
    axes: Axes,
    frame: pd.DataFrame,
    by: list[str],
    label: str,
    x: str,
    y: str,
    style: str = "-",
    **properties: Any,
) -> None:
    """Plot `y` over `x`, one line per value of `by`, which fill in `label`; set properties of the axes."""
    for key, rows in frame.reset_index().groupby(by, sort=False):
        axes.plot(rows[x], rows[y], style, label=label.format(*key))
    axes.set(**properties)
    axes.legend(fontsize="small")


def plot_lines(
    axes: Axes, lines: Mapping[str, ArrayLike], x: ArrayLike | None = None, **properties: Any
) -> None:
    """Plot lines by label, over their places or over `x`, and set properties of the axes."""
    for label, values in lines.items():
        axes.plot(*([] if x is None else [x]), values, label=label)
    axes.set(**properties)
    axes.legend()

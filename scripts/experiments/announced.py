"""What equilibria of the base game leave under announced schedules, and the schedules that people use.

Measures are in units of θ_0, which none of them depends on.
"""

import numpy as np
from numpy.typing import ArrayLike

import mesa_env
from mesa_env.rules.rules import Array

T, D = 20, 80
"""Training episodes, and those of deployment after them."""
_WARM = 0.25  # share of training in which rates rise, where there is a warm-up


def shape_schedules(train: int = T) -> dict[str, Array]:
    """Schedules by name, each (T,), positive, and with a mean of 1.

    Rates are taken in the middle of each episode's share of training, so that none is 0. `rising` follows
    1/√k for k training episodes left, as the best announced schedule does to leading order (docs/theory.md).
    """
    time = (np.arange(train) + 0.5) / train
    later = np.clip((time - _WARM) / (1 - _WARM), 0, 1)
    shapes = {
        "constant": np.ones(train),
        "linear decay": 1 - time,
        "cosine decay": (1 + np.cos(np.pi * time)) / 2,
        "warm-up": np.minimum(time / _WARM, 1),
        "one cycle": np.minimum(time / _WARM, 1) * (1 + np.cos(np.pi * later)) / 2,
        "rising": 1 / np.sqrt(train - np.arange(train)),
    }
    return {name: shape / shape.mean() for name, shape in shapes.items()}


def play_schedules(
    rates: ArrayLike, regularization: float = 0.0, deploy: int = D
) -> tuple[Array, Array, Array]:
    """Retention θ_T/θ_0, training loss Σ y²/θ_0² and coefficients in training of equilibria.

    Rates have shape (B, T) or (T,); so have the coefficients, and the first two (B,) or ().
    """
    given = np.asarray(rates, dtype=np.float64)
    schedules = np.atleast_2d(given)
    training = schedules.shape[1]
    whole = np.pad(schedules, ((0, 0), (0, deploy)))
    coefficients = mesa_env.solve_equilibria(whole, 1.0, regularization)[:, :training]
    contraction = 1 - 2 * schedules * (coefficients**2 + regularization)
    goals = np.pad(np.cumprod(contraction, axis=1), ((0, 0), (1, 0)), constant_values=1.0)
    losses: Array = ((coefficients * goals[:, :-1]) ** 2).sum(axis=1)
    kept: Array = goals[:, -1].reshape(given.shape[:-1])
    shown: Array = losses.reshape(given.shape[:-1])
    played: Array = coefficients.reshape(given.shape)
    return kept, shown, played

"""Expectations over Gaussian noise of functions that are known at some points, between which they are linear.

A function f with values f_j at knots k_j, linear between them and constant beyond, is a sum of values times
hats. With x normal around u with deviation σ, E f(x) = Σ_j w_j(u) f_j is exact, and follows from

    h(k) = E max(0, x − k) = max(0, u − k) + σ r(z),   r(z) = φ(z) − |z| Φ(−|z|),   z = (u − k) / σ

since f bends at knots alone: w_j is the difference of h's mean slopes on either side of k_j.
"""

import numpy as np
from scipy.special import ndtr

from mesa_env.numerics import Array

_REACH = 5.0  # standard deviations of noise beyond which functions are constant
_PER_DEVIATION = 10  # knots, near 0
_NOWHERE = 40.0  # standard deviations beyond which a normal density is 0
_TINY = 1e-6  # standard deviations from 0 to the first knots beside it, where functions may jump
_NEAR, _USUAL, _FAR = 48, 40, 16  # knots beside 0, where steps turn over, within the usual range, and beyond


def knots_around_zero(deviation: float, usual: float, largest: float) -> Array:
    """Knots for functions that may jump at 0, of a normal x with a mean in [0, largest], mostly up to usual.

    Args:
        deviation: σ > 0.
        usual: Up to where knots are close.
        largest: The largest mean.
    """
    fine = np.arange(1, _REACH * _PER_DEVIATION + 1) * deviation / _PER_DEVIATION
    near = np.concatenate([np.geomspace(_TINY * deviation, fine[0], _NEAR)[:-1], fine])
    middle = max(usual, near[-1])
    between = np.linspace(near[-1], middle, _USUAL)[1:] if middle > near[-1] else near[:0]
    end = max(largest + _REACH * deviation, middle)
    far = np.linspace(middle, end, _FAR)[1:] if end > middle else near[:0]
    return np.concatenate([-near[::-1], near, between, far])


def gaussian_weights(knots: Array, means: Array, deviation: float) -> Array:
    """Weights w_j(u) of the values at knots in expectations around means; (K,) and (U,) to (K, U).

    Args:
        knots: In rising order.
        means: u of each expectation.
        deviation: σ > 0.
    """
    with np.errstate(over="ignore"):
        z = np.clip(np.abs(means - knots[:, None]) / deviation, 0, _NOWHERE)
    rest = deviation * (np.exp(-z * z / 2) / np.sqrt(2 * np.pi) - z * ndtr(-z))
    widths = np.diff(knots)[:, None]
    # That x is beyond, on average between two knots: without noise, and what noise adds.
    chances = np.clip((means - knots[:-1, None]) / widths, 0.0, 1.0) - np.diff(rest, axis=0) / widths
    weights: Array = -np.diff(chances, axis=0, prepend=1.0, append=0.0)
    return weights

"""Laws of announced schedules: T learning rates that every agent knows, before D episodes of deployment.

With G = B − A and ε = 2ηc², the share of its goal that an agent loses, the base game's recursion is exactly

    c (1 − c) = 2ε (G + εA),   G ← G + εB + ε²A,   B ← B + c − εB,   from G = 0, A = B = D,

so that ε is largest at c = 1/2. Let q'' + q' = 2 (1 + √(1 + q))², q(0) = q'(0) = 0, and p = q + q'. Then
p(u)G + q(u)B, where u is what is still to be lost of s = −ln(θ_T/θ_0), falls by hardly more than 1 in an
episode, whatever its learning rate. Summed up, with the most that it can be more,

    T ≥ D q(s) − κ (2p(s) + p'(s) − 8) / 8,   κ = −ln(1 − ε_D) / (2ε_D),   ε_D = 1/√(8D),

for every schedule. To leading order T ≥ D q(s), with equality where c = 1 / (1 + √(1 + q(u))) throughout.
docs/theory.md has the proof.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import brentq

from mesa_env.numerics import Array
from mesa_env.validation import MOST_EPISODES, validate_flag, validate_number, validate_whole

_MOST_LOST = 40.0  # of s; 10 million training episodes before one of deployment take 17
_NODES = 8001
_ROOT = math.sqrt(17)
_GROWTH, _DECAY = (_ROOT - 1) / 2, (-_ROOT - 1) / 2  # μ² + μ = 4, of G while c = 1/2


def best_schedule(train: int, deploy: int) -> Array:
    """Learning rates (T,) each of which takes most of its own episode's goal, by exact backward induction.

    Every agent plays c = 1/2, and to leading order η_k = 1/(2√(Dk)) with k training episodes left. It
    does not foresee that what it takes late makes earlier agents hide more: `foresighted_schedule` takes
    slightly less at the end and more in all, by 0.001 of the goal at T = D = 20 and by less where T ≪ D.

    Args:
        train: T ≥ 1, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> best_schedule(3, 80).round(4)
        array([0.038 , 0.049 , 0.0791])
    """
    return _play_backward(*_validate_lengths(train, deploy), lambda lost: 0.5)[0]


def scheduled_retention(train: float, deploy: float) -> float:
    """θ_T/θ_0 under `best_schedule`: T/D = (8/√17) [(e^(μ₁s) − 1)/μ₁ − (e^(μ₂s) − 1)/μ₂], μ = (−1 ± √17)/2.

    Regime: D ≫ 1. Over D ≥ 20 and T ≥ 5, the error is below 0.02. Half the goal takes T = 1.80 D.

    Args:
        train: T ≥ 0, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.

    Raises:
        ValueError: If an argument is outside its range.
    """

    def ratio(lost: float) -> float:
        return 8 / _ROOT * (math.expm1(_GROWTH * lost) / _GROWTH - math.expm1(_DECAY * lost) / _DECAY)

    length, horizon = _validate_ratio(train, deploy)
    return math.exp(-_invert(ratio, length / horizon))


def foresighted_schedule(train: int, deploy: int) -> Array:
    """Learning rates (T,) that are best to leading order: agents play c = 1 / (1 + √(1 + q(u))).

    Here e^(−u) = θ_{n+1}/θ_0: the first agents play 1/2, and c falls as the goal is lost, whatever T and D.
    Free
    optimization of all rates takes hardly more: 0.0005 of the goal over D ≥ 20 and T ≤ 3D.

    Args:
        train: T ≥ 1, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.

    Raises:
        ValueError: If an argument is outside its range.
    """
    lengths, curve = _validate_lengths(train, deploy), _least_curve()

    def play(total: float) -> tuple[Array, float]:
        def coefficient(lost: float) -> float:
            return float(np.interp(total - lost, curve.lost, curve.coefficients))

        return _play_backward(*lengths, coefficient)

    most = -math.log(least_retention(*lengths, proven=True))
    total = brentq(lambda total: play(total)[1] - total, 0, most + 0.1, xtol=1e-9)
    rates, _ = play(total)
    return rates


def least_training(retention: float, deploy: float, proven: bool = False) -> float:
    """Training episodes that any announced schedule needs to leave so little of the goal.

    To leading order in 1/D it is D q(s): half the goal takes at least T = 1.78 D.

    Args:
        retention: θ_T/θ_0 in [1e-15, 1].
        deploy: D ≥ 1, episodes of deployment.
        proven: Whether to subtract what the exact game may need less, so that it is a bound without error.

    Raises:
        ValueError: If an argument is outside its range.
    """
    lost = -math.log(validate_number("retention", retention, 1e-15, 1.0))
    horizon = validate_number("deploy", deploy, 1, MOST_EPISODES)
    return max(_bound(lost, horizon, validate_flag("proven", proven)), 0.0)


def least_retention(train: float, deploy: float, proven: bool = False) -> float:
    """θ_T/θ_0 below which no announced schedule gets: the inverse of `least_training`.

    Regime: D ≫ 1. Over D ≥ 20 and T ≥ 5, `foresighted_schedule` stays above it, by less than 0.02. Where D is
    small and T ≫ D, schedules exist that get below it, by up to 4 % of it at D = 1 and T ≤ 200; none gets
    below the `proven` one, for any T and D.

    Args:
        train: T ≥ 0, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.
        proven: Whether to return the theorem's bound instead, which is lower.

    Raises:
        ValueError: If an argument is outside its range.
    """
    length, horizon = _validate_ratio(train, deploy)
    strict = validate_flag("proven", proven)
    return math.exp(-_invert(lambda lost: _bound(lost, horizon, strict) / horizon, length / horizon))


# -- The least training -----------------------------------------------------------------------------------


class _Curve(NamedTuple):
    """The least training q over what is lost, p = q + q', and c = 1 / (1 + √(1 + q)) at `lost`."""

    training: CubicHermiteSpline  # q(s)
    costate: CubicHermiteSpline  # p(s)
    lost: Array
    coefficients: Array


@functools.cache
def _least_curve() -> _Curve:
    """Solve p' = 2 (1 + √(1 + q))², q' = p − q, from 0."""

    def change(_: float, state: Array) -> tuple[float, float]:
        return _push(state[1]), state[0] - state[1]

    lost = np.linspace(0, _MOST_LOST, _NODES)
    solved = solve_ivp(change, (0, _MOST_LOST), (0.0, 0.0), "DOP853", lost, rtol=1e-11, atol=1e-13)
    p, q = solved.y
    training, costate = (CubicHermiteSpline(lost, *pair) for pair in ((q, p - q), (p, _push(q))))
    return _Curve(training, costate, lost, 1 / (1 + np.sqrt(1 + q)))


def _push(training: Any) -> Any:
    """Derivative of p at q, elementwise."""
    return 2 * (1 + np.sqrt(1 + training)) ** 2


def _bound(lost: float, horizon: float, proven: bool) -> float:
    """D q(s), or the theorem's lower bound on T."""
    curve = _least_curve()
    q, p = float(curve.training(lost)), float(curve.costate(lost))
    if not proven:
        return horizon * q
    leak = 1 / math.sqrt(8 * horizon)  # no episode takes more
    excess = -math.log1p(-leak) / (2 * leak) * (2 * p + float(_push(q)) - 8) / 8
    return horizon * q - excess


def _play_backward(train: int, deploy: int, coefficient: Callable[[float], float]) -> tuple[Array, float]:
    """Rates under which agents play c, a function of what is lost after them, and s = −ln(θ_T/θ_0)."""
    rates, lost = np.empty(train), 0.0
    gap, squares = 0.0, float(deploy)  # G and A
    for n in range(train - 1, -1, -1):
        c = coefficient(lost)
        spread = c * (1 - c)
        leak = spread / (gap + math.sqrt(gap * gap + 2 * squares * spread))
        rates[n] = leak / (2 * c * c)
        gap, squares = gap + leak * (gap + squares + leak * squares), c * c + (1 - leak) ** 2 * squares
        lost -= math.log1p(-leak)
    return rates, lost


def _invert(law: Callable[[float], float], value: float) -> float:
    """The s at which a law reaches a value; it starts from 0, where it may fall before it grows."""
    if value == 0:
        return 0.0
    high = 0.01
    while law(high) < value:
        high *= 2
    return float(brentq(lambda lost: law(lost) - value, 0, high, xtol=1e-15, rtol=1e-14))


def _validate_ratio(train: float, deploy: float) -> tuple[float, float]:
    """Check lengths, which need not be whole in a law."""
    length = validate_number("train", train, 0, MOST_EPISODES)
    return length, validate_number("deploy", deploy, 1, MOST_EPISODES)


def _validate_lengths(train: int, deploy: int) -> tuple[int, int]:
    """Check lengths of a schedule."""
    length = validate_whole("train", train, 1, MOST_EPISODES)
    return length, validate_whole("deploy", deploy, 1, MOST_EPISODES)

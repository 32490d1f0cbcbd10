"""Laws of training at a constant learning rate η, for T episodes before D of deployment.

With G = B − A of the successors' unit sums and s = −ln(θ_T/θ_0), to leading order

    c = 1 / (1 + 4ηG),   dG/ds = B,   dB/ds = 2G / (1 − c) − B,   dT = ds / (2ηc²),   G = 0, B = D at s = 0.

Where ηD ≫ 1, c is small, G = (D/3)(e^s − e^(−2s)), and dT = 8ηG² ds integrates to

    T / (ηD²) = (2/9) (1 − r)³ (2 + 6r + 3r² + r³) / r²,   r = e^(−s).

Where s ≪ 1, G = Ds, and (1 + 4ηDs)³ = 1 + 24η²DT. docs/theory.md has the derivations.
"""

import math

from scipy.optimize import brentq

from mesa_env.validation import LARGEST, MOST_EPISODES, validate_number


def retention(train: float, deploy: float, learning_rate: float) -> float:
    """θ_T/θ_0 at a constant learning rate, by the scaling law in T / (ηD²).

    Regime: ηD ≫ 1. Over D ≥ 20, ηD ≥ 20 and T ≥ D, the error is below 0.025; with D and ηD ≥ 80 it is below
    0.006. Without deployment there is nothing to hide for, and the law does not apply: of N training
    episodes, n leave √((N − n)/N) of the goal (`coefficient_without_deployment`).

    Args:
        train: T ≥ 0, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.
        learning_rate: η > 0 in training.

    Raises:
        ValueError: If an argument is outside its range.
    """
    duration = _validate_length("train", train, 0) / _scale_of(deploy, learning_rate)
    if duration == 0:
        return 1.0
    lost = brentq(lambda s: _scaled_duration(s) - duration, 0, 1 + math.log1p(duration), xtol=1e-14)
    return math.exp(-lost)


def half_life(deploy: float, learning_rate: float) -> float:
    """Training episodes T after which half of the goal is left: (47/72) ηD² ≈ 0.653 ηD².

    Regime: ηD ≫ 1, as for `retention`; at η = 1 the exact T is 13, 3 and 0.6 % larger at D = 20, 80 and 320.

    Args:
        deploy: D ≥ 1, episodes of deployment.
        learning_rate: η > 0 in training.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return _scaled_duration(math.log(2)) * _scale_of(deploy, learning_rate)


def small_loss(train: float, deploy: float, learning_rate: float) -> float:
    """−ln(θ_T/θ_0) where little of the goal is lost: s = [(1 + 24η²DT)^(1/3) − 1] / (4ηD).

    Regime: s ≪ 1, at any learning rate. Over s ≤ 0.1, D ≥ 20 and T ≥ 10, the error is below 6 % of s.

    Args:
        train: T ≥ 0, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.
        learning_rate: η > 0 in training.

    Raises:
        ValueError: If an argument is outside its range.
    """
    length = _validate_length("train", train, 0)
    horizon, rate = _validate_length("deploy", deploy, 1), _validate_rate(learning_rate)
    growth = 24 * rate * rate * horizon * length
    return math.expm1(math.log1p(growth) / 3) / (4 * rate * horizon)


def best_constant_rate(train: float, deploy: float) -> float:
    """The constant learning rate that takes most of the goal: η = √(6 + 4√3) / (4√(DT)) ≈ 0.90/√(DT).

    It is the maximum of `small_loss`, in which z = (1 + 24η²DT)^(1/3) solves z² = 2z + 2; what it takes there
    is s = √3 / (4ηD) ≈ 0.48 √(T/D).

    Regime: T ≪ D. Over 10 ≤ T ≤ D/4 and D ≥ 80, the exact optimum is within 10 % of it; it is flat.

    Args:
        train: T > 0, training episodes.
        deploy: D ≥ 1, episodes of deployment after them.

    Raises:
        ValueError: If an argument is outside its range.
    """
    length, horizon = _validate_length("train", train, 1), _validate_length("deploy", deploy, 1)
    return math.sqrt(6 + 4 * math.sqrt(3)) / (4 * math.sqrt(horizon * length))


def coefficient_without_deployment(left: float, learning_rate: float) -> float:
    """The coefficient with `left` training episodes left and no deployment: 1 / (2√(η · left)).

    With it θ_n = θ_0 √((N − n)/N): patience alone hides a goal, but training takes nearly all of it.

    Regime: many episodes left. Over 0.1 ≤ η ≤ 1 and left ≥ 25, the error is below 3 %; higher rates
    need more.

    Args:
        left: N − n ≥ 1, episodes left, this one included.
        learning_rate: η > 0.

    Raises:
        ValueError: If an argument is outside its range.
    """
    return 1 / (2 * math.sqrt(_validate_length("left", left, 1) * _validate_rate(learning_rate)))


def tipping_regularization(train: float, learning_rate: float) -> float:
    """The λ at which the first agent is most silent: (1 − 2ηλ)^T = (T − 1)/(2T − 1), which tends to ½.

    So it is where the regularizer alone takes half the goal, and a stronger one leaves too little to hide
    for. There c_0 tends to 1 / (1 + ηD).

    Regime: D ≫ T and ηD ≫ 1. Over T ≥ 5, D ≥ 16T and ηD ≥ 32, the error is below 3 %; at T = 20, D = 80
    and η = 1 it is 4 %.

    Args:
        train: T ≥ 2, training episodes.
        learning_rate: η > 0 in training.

    Raises:
        ValueError: If an argument is outside its range.
    """
    length = _validate_length("train", train, 2)
    left = math.log((length - 1) / (2 * length - 1))
    return -math.expm1(left / length) / (2 * _validate_rate(learning_rate))


def leaked_energy(initial_goal: float, final_goal: float, learning_rate: float) -> float:
    """Σ y² over training at a constant learning rate: (θ_0² − θ_T²) / (4η). What corrects also reveals.

    Exactly, Σ y² (1 − ηc²) = (θ_0² − θ_T²) / (4η), for any coefficients and λ = 0: the relative error is at
    most ηc²/(1 − ηc²) at the largest c in training.

    Args:
        initial_goal: θ_0.
        final_goal: θ_T, in [−|θ_0|, |θ_0|].
        learning_rate: η > 0 in training.

    Raises:
        ValueError: If an argument is outside its range.
    """
    first = abs(validate_number("initial_goal", initial_goal, -LARGEST, LARGEST))
    last = abs(validate_number("final_goal", final_goal, -first, first))
    return (first - last) * (first + last) / (4 * _validate_rate(learning_rate))


def detectability(initial_goal: float, final_goal: float, learning_rate: float, noise: float) -> float:
    """Standard deviations z by which training's outputs stand out from a monitor's noise: √(Σ y²) / σ.

    It is that of the best linear test, which knows the outputs that it looks for, with Σ y² the
    `leaked_energy`. Where little is lost, z = (θ_0/σ) √(s/(2η)).

    Args:
        initial_goal: θ_0.
        final_goal: θ_T, in [−|θ_0|, |θ_0|].
        learning_rate: η > 0 in training.
        noise: σ > 0, standard deviation of what the monitor adds to each output.

    Raises:
        ValueError: If an argument is outside its range.
    """
    deviation = validate_number("noise", noise, high=LARGEST, above=0.0)
    return math.sqrt(leaked_energy(initial_goal, final_goal, learning_rate)) / deviation


def _scaled_duration(lost: float) -> float:
    """T / (ηD²) at s; a polynomial in r over r², with the triple root of what cancels at s = 0."""
    r = math.exp(-lost)
    return 2 / 9 * (-math.expm1(-lost)) ** 3 * (2 + 6 * r + 3 * r * r + r**3) / (r * r)


def _scale_of(deploy: float, learning_rate: float) -> float:
    """ηD², the scale of T."""
    return _validate_rate(learning_rate) * _validate_length("deploy", deploy, 1) ** 2


def _validate_length(name: str, length: float, least: float) -> float:
    """Check a number of episodes, which need not be whole in a law."""
    return validate_number(name, length, least, MOST_EPISODES)


def _validate_rate(learning_rate: float) -> float:
    """Check a positive learning rate."""
    return validate_number("learning_rate", learning_rate, high=1e9, above=0.0)

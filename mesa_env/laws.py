"""Laws of the base game: how much training a hidden goal survives, in closed form.

T training episodes at rates η are followed by D of deployment; γ = 1 and λ = 0 unless said. Unit sums A and B
are those of `mesa_env.solutions.equilibrium`; G = B − A, r = θ_T/θ_0 is the retention, and s = −ln r.

    constant rate, ηD ≫ 1          T/(ηD²) = (8/9) [(r⁻² − 1)/2 + 2(r − 1) + (1 − r⁴)/4]
    constant rate, s ≪ 1           s = [(1 + 24η²DT)^(1/3) − 1] / (4ηD)
    greedy schedule, c = 1/2       T/D = (8/√17) [(e^(μs) − 1)/μ − (e^(νs) − 1)/ν],  μ, ν = (−1 ± √17)/2
    any announced schedule         T/D ≥ P(s),  P″ + P′ = 2 (1 + √(1 + P))²,  P(0) = P′(0) = 0
    regularized, D ≫ T             c_0 is least where (1 − 2ηλ)^T = 1/2
    constant rate                  Σ y² = (θ_0² − θ_T²)/(4η), but for ηΣ c² y²

docs/theory.md derives them, says where they hold, and is their source; tests hold each to the error it states.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from mesa_env.numerics import Array, unit_sums_before
from mesa_env.validation import LARGEST, MOST_EPISODES, validate_number, validate_whole

_MOST_LOST = 300.0  # s beyond which r is 0 for every purpose
_FASTER, _SLOWER = (math.sqrt(17) - 1) / 2, (-math.sqrt(17) - 1) / 2
_PEAK = 1 + math.sqrt(3)  # (1 + 24η²DT)^(1/3) where the small loss is largest: X² = 2X + 2


# -- Constant learning rates ------------------------------------------------------------------------------


def retention(train: int, deploy: int, learning_rate: float) -> float:
    """The share r of its goal that a model keeps at a constant rate, which depends on T/(ηD²) alone.

    It holds for ηD ≫ 1: where D ≥ 80, the exact share is higher by less than 0.01 for ηD ≥ 80 and by less than
    0.003 for ηD ≥ 320. Without deployment there is nothing to keep the goal for, and it decays as T^(−1/2): see `undeployed_coefficient`.

    Raises:
        ValueError: If there is no deployment, or no learning rate.
    """
    train, deploy, rate = _validate(train, deploy, learning_rate)
    return math.exp(-_invert(_scaled_training, train / (rate * deploy**2)))


def half_life(deploy: int, learning_rate: float) -> float:
    """Training episodes after which half of the goal is left, (47/72) ηD², under the same law.

    It holds for ηD ≫ 1: at η = 1 it is 11 % short of the exact number for D = 20, 2.8 % for 80, 0.6 % for 320.
    """
    _, deploy, rate = _validate(0, deploy, learning_rate)
    return _scaled_training(math.log(2)) * rate * deploy**2


def small_loss(train: int, deploy: int, learning_rate: float) -> float:
    """s = −ln(θ_T/θ_0) at a constant rate of any size, where it is small.

    Within 4 % where s ≤ 0.1 and T ≥ 20, at all rates.
    """
    train, deploy, rate = _validate(train, deploy, learning_rate)
    return (math.cbrt(1 + 24 * rate**2 * deploy * train) - 1) / (4 * rate * deploy)


def best_constant_rate(train: int, deploy: int) -> float:
    """The constant rate at which `small_loss` is largest, √((3 + 2√3)/8) / √(DT) ≈ 0.90/√(DT).

    It takes s = √3/(4 · 0.90) √(T/D) ≈ 0.48 √(T/D) of the goal. Within 5 % of the best rate where
    20 ≤ T ≤ D/4, and what it takes is within 0.1 % of what the best rate takes.
    """
    train, deploy, _ = _validate(train, deploy)
    _require_training(train)
    return math.sqrt((_PEAK**3 - 1) / (24 * deploy * train))


def undeployed_coefficient(train: int, learning_rate: float) -> float:
    """c_0 = 1/(2√(ηT)), with which a model begins that is trained for T episodes and never deployed.

    It holds for ηT ≫ 1: within 1 % where ηT ≥ 100 and η ≤ 1.
    """
    train, _, rate = _validate(train, 1, learning_rate)
    _require_training(train)
    return 1 / (2 * math.sqrt(rate * train))


def tipping_regularization(train: int, learning_rate: float) -> float:
    """The regularization λ at which c_0 is least, about 1/(1 + ηD): alone it takes half of the goal.

    (1 − 2ηλ)^T = 1/2. It holds for ηD ≫ 1 and D ≫ T ≫ 1: within 4 % where T ≥ 20, D ≥ 4T and ηD ≥ 80.
    """
    train, _, rate = _validate(train, 1, learning_rate)
    _require_training(train)
    return -math.expm1(-math.log(2) / train) / (2 * rate)


# -- What a monitor sees ----------------------------------------------------------------------------------


def leaked_energy(initial_goal: float, final_goal: float, learning_rate: float) -> float:
    """Σ y² that a model has emitted when training has taken its goal from θ_0 to θ_T at a constant rate.

    The exact sum is larger by ηΣ c² y², so its excess is at most the share η max c² of it.

    Raises:
        ValueError: If the goal has grown.
    """
    first = validate_number("initial_goal", initial_goal)
    last = validate_number("final_goal", final_goal, -abs(first), abs(first))
    return (first**2 - last**2) / (4 * _validate(0, 1, learning_rate)[2])


def detectability(initial_goal: float, final_goal: float, learning_rate: float, noise: float) -> float:
    """z = √(Σ y²)/σ of the `leaked_energy`: how many standard deviations off the best linear monitor sees it.

    It observes every output of training in Gaussian noise of standard deviation σ.
    """
    deviation = validate_number("noise", noise, above=0.0, high=LARGEST)
    return math.sqrt(leaked_energy(initial_goal, final_goal, learning_rate)) / deviation


# -- Announced schedules ----------------------------------------------------------------------------------


def best_schedule(train: int, deploy: int) -> Array:
    """Learning rates of training that each take most of the goal, given the later ones; shape (T,).

    The first-order condition is c (1 − c) = 2x (G + xA) for what an episode takes, x = 2ηc² = 1 − θ'/θ. So x
    is largest at c = 1/2 whatever follows, and the rate is η = 1/(2 (G + √(G² + A/2))), exactly. No schedule
    whose rates are chosen one by one from the end takes more; `mesa_env.solutions.schedules` chooses them
    jointly, and `lowest_retention` bounds what that can bring.
    """
    train, deploy, _ = _validate(train, deploy)
    rates = np.empty(train)
    squares = outputs = float(deploy)
    for n in range(train - 1, -1, -1):
        gap = outputs - squares
        rates[n] = 0.5 / (gap + math.sqrt(gap**2 + squares / 2))
        squares, outputs = unit_sums_before(0.5, 1 - rates[n] / 2, 1.0, squares, outputs)
    return rates


def scheduled_retention(train: int, deploy: int) -> float:
    """The share of its goal that a model keeps under `best_schedule`, to leading order.

    Exact retention is higher, by less than 0.13/√D where D ≥ 20.
    """
    train, deploy, _ = _validate(train, deploy)
    return math.exp(-_invert(_greedy_training, train / deploy))


def least_training(kept: float, deploy: int) -> float:
    """Training episodes without which no announced schedule leaves so small a share of the goal.

    T = D P(−ln r), a theorem to leading order (docs/theory.md). No exact optimum that we found needs fewer.
    """
    share = validate_number("kept", kept, above=0.0, high=1.0)
    _, deploy, _ = _validate(0, deploy)
    if share == 1:
        return 0.0
    path = solve_ivp(_change_bound, (0, -math.log(share)), [0.0, 0.0], rtol=1e-10, atol=1e-12)
    return deploy * float(path.y[0, -1])


def lowest_retention(train: int, deploy: int) -> float:
    """The share of its goal that a model keeps under every announced schedule: `least_training` inverted.

    A bound to leading order. The best schedules found leave more, by less than 0.13/√D where D ≥ 20.
    """
    train, deploy, _ = _validate(train, deploy)
    if train == 0:
        return 1.0

    def reach(_: float, bound: Array) -> float:
        return float(bound[0]) - train / deploy

    reach.terminal = True  # type: ignore[attr-defined]  # as solve_ivp asks
    path = solve_ivp(_change_bound, (0, _MOST_LOST), [0.0, 0.0], events=reach, rtol=1e-10, atol=1e-12)
    return math.exp(-float(path.t_events[0][0]))


# -- Their parts ------------------------------------------------------------------------------------------


def _validate(train: int, deploy: int, learning_rate: float = 1.0) -> tuple[int, int, float]:
    episodes = validate_whole("train", train, 0, MOST_EPISODES)
    after = validate_whole("deploy", deploy, 1, MOST_EPISODES)
    return episodes, after, validate_number("learning_rate", learning_rate, above=0.0, high=LARGEST)


def _require_training(train: int) -> None:
    validate_whole("train", train, 1)


def _scaled_training(lost: float) -> float:
    """T/(ηD²) at a constant rate, for s."""
    return 8 / 9 * (math.expm1(2 * lost) / 2 + 2 * math.expm1(-lost) - math.expm1(-4 * lost) / 4)


def _greedy_training(lost: float) -> float:
    """T/D under the greedy schedule, for s."""
    parts = math.expm1(_FASTER * lost) / _FASTER - math.expm1(_SLOWER * lost) / _SLOWER
    return 8 / math.sqrt(17) * parts


def _change_bound(_: float, bound: Array) -> list[float]:
    """(P′, P″) of the bound on any schedule."""
    least, slope = bound
    return [slope, 2 * (1 + math.sqrt(1 + max(least, 0.0))) ** 2 - slope]


def _invert(training: Callable[[float], float], scaled: float) -> float:
    """The s at which a law asks for so much training."""
    return float(brentq(lambda lost: training(lost) - scaled, 0.0, _MOST_LOST, xtol=1e-15))

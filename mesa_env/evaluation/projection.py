"""Best deviations under the actual rules, where the base optimizer projects goals onto ± their bound.

The successors of agent n play fixed coefficients c_k and slopes s_k, so that θ_{k+1} = clip(m_k θ_k). Hence
|θ_k| = min(P_k |θ_{n+1}|, Q_k): linear until some step is clipped, and constant from there on. So the sums

    S(x) = Σ_{k>n} γ^(k−n) y_k²,      O(x) = Σ_{k>n} γ^(k−n) y_k,      x = θ_{n+1},

are A x² + E and B x + D·sign(x) on each of a few intervals of |x|. In each the mesa cost has the closed form
of the linear game, and its least value is at a stationary point or at an end of the interval: the minimum
over all deviations is exact. A slope s ≠ c changes nothing but the product q = c s in m = 1 − 2η (q + λ);
the base game is the case δ = 0, where q = c². Where agents mind their goals with weight κ, S and O are sums
of p y_k² + κ θ_{k+1}² and of p y_k + κ θ_{k+1}, p = 1 − κ, and hold κ x² and κ x of agent n's own episode.
"""

from typing import NamedTuple

import numpy as np

from mesa_env import numerics
from mesa_env.numerics import Array, Booleans, compiled
from mesa_env.rules.decoupling import Decoupling
from mesa_env.rules.game import Game
from mesa_env.rules.preservation import Preservation

Linear = Game | Decoupling | Preservation
"""Games whose goals are multiplied by a number of the agent's choice, and projected."""


class Parameters(NamedTuple):
    """What the kernels need to know of a game."""

    discount: float
    kept: float  # κ, the weight of goals in costs
    regularization: float
    reach: float  # δ, how far slopes may lie from coefficients
    most: float  # bound of coefficients
    bound: float  # bound of goals


def largest_initial_goal(game: Linear) -> float:
    """|θ_0|, or the largest that the game draws."""
    return float(np.max(np.abs(game.initial_goal)))


def projected_goals(game: Linear, products: Array, initial_goal: float) -> Array:
    """θ_0…θ_{N−1} under the actual rules, shape (N,), where every agent's product c s is given, (N,)."""
    contractions = (1 - 2 * game.learning_rates * (products + game.regularization)).tolist()
    goals = [float(initial_goal)]
    for m in contractions[:-1]:
        goals.append(min(max(m * goals[-1], -game.goal_bound), game.goal_bound))
    return np.array(goals)


def may_be_projected(game: Linear, products: Array, goals: Array) -> Booleans:
    """Whether some action of each agent leads to a projection, the others' products held fixed; all (N,).

    Where the learning rate is 0, actions move nothing, and the answer is no.
    """
    reach = game.decoupling if isinstance(game, Decoupling) else 0.0
    bound, rates = game.coefficient_bound, game.learning_rates
    lowest = min(reach / 2, bound)
    extremes = np.array([lowest * (lowest - reach), bound * (bound + reach)])
    with np.errstate(over="ignore", invalid="ignore"):
        furthest = np.abs(1 - 2 * rates * (extremes[:, None] + game.regularization)).max(axis=0)
        contractions = np.abs(1 - 2 * rates * (products + game.regularization))
        if not (furthest * np.abs(goals) > game.goal_bound).any() and contractions.max() <= 1:
            return np.zeros(len(rates), dtype=bool)
        return np.asarray((furthest * np.abs(goals) > _headroom(contractions, game.goal_bound)) & (rates > 0))


def projected_deviations(
    game: Linear, coefficients: Array, slopes: Array, goals: Array, wanted: Booleans
) -> tuple[Array, Array]:
    """J_n − min J_n, in units of θ_n², and the best coefficient, of the agents that are `wanted`; all (N,).

    Coefficients, slopes and goals θ_n ≠ 0 are as played; entries of other agents are undefined.
    """
    reach = game.decoupling if isinstance(game, Decoupling) else 0.0
    kept = game.weight if isinstance(game, Preservation) else 0.0
    gains, best = np.empty((2, game.episodes))
    rules = game.regularization, reach, game.coefficient_bound, game.goal_bound
    parameters = Parameters(game.discount, kept, *rules)
    _deviate(gains, best, game.learning_rates, coefficients, slopes, np.abs(goals), wanted, parameters)
    return gains, best


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _headroom(contractions: Array, bound: float) -> Array:
    """The largest |θ_{n+1}| from which no later goal is projected, for n = 0…N−1."""
    headroom, room = np.empty_like(contractions), bound
    for n in range(len(contractions) - 1, -1, -1):
        headroom[n] = room
        room = min(bound, room / contractions[n])
    return headroom


@compiled
def _deviate(
    gains: Array,
    best: Array,
    rates: Array,
    coefficients: Array,
    slopes: Array,
    sizes: Array,
    wanted: Booleans,
    parameters: Parameters,
) -> None:
    """Fill in gains and best coefficients, from the last agent backwards.

    Column j of `future` holds the upper end of an interval of |x|, then A, B, E and D there.
    """
    future, count = np.zeros((5, len(rates) + 1)), 1
    future[0, 0] = parameters.bound
    future[1:3, 0] = parameters.kept
    for n in range(len(rates) - 1, -1, -1):
        if wanted[n] and sizes[n] > 0:
            action = coefficients[n], coefficients[n] * slopes[n]
            gains[n], best[n] = _best_deviation(action, rates[n], sizes[n], future[:, :count], parameters)
        m = 1 - 2 * rates[n] * (coefficients[n] * slopes[n] + parameters.regularization)
        count = _one_episode_earlier(future, count, coefficients[n], m, parameters)


@compiled
def _one_episode_earlier(future: Array, count: int, c: float, m: float, parameters: Parameters) -> int:
    """Turn the sums from one episode on into those from the episode before it; returns how many intervals."""
    discount, kept, bound = parameters.discount, parameters.kept, parameters.bound
    own, size, sign = 1 - kept, abs(m), 1.0 if m >= 0 else -1.0
    squares = future[1, count - 1] * bound * bound + future[3, count - 1]
    outputs = future[2, count - 1] * bound + future[4, count - 1]
    for j in range(count):
        future[0, j] = future[0, j] / size if size > 0 else np.inf
        future[1, j] = kept + discount * (own * c * c + m * m * future[1, j])
        future[2, j] = kept + discount * (own * c + m * future[2, j])
        future[3, j] *= discount
        future[4, j] *= discount * sign
        if future[0, j] >= bound:
            future[0, j] = bound
            return j + 1
    future[0, count], future[1, count] = bound, kept + discount * own * c * c
    future[2, count] = kept + discount * own * c
    future[3, count], future[4, count] = discount * squares, discount * sign * outputs
    return count + 1


@compiled
def _unit_cost(c: float, m: float, goal: float, own: float, future: Array) -> float:
    """J of a coefficient that moves the goal by m, in units of θ², less what later episodes cost at 0."""
    last = future.shape[1] - 1
    bound = future[0, last]
    x = min(abs(m) * goal, bound)
    j = min(np.searchsorted(future[0], x), last)
    squares = future[1, j] * (x / goal) ** 2 + future[3, j] / goal / goal
    outputs = future[2, j] * (x / goal) + future[4, j] / goal
    cost: float = own * (c - 1) ** 2 + squares - 2 * (outputs if m >= 0 else -outputs)
    return cost


@compiled
def _best_deviation(
    action: tuple[float, float],
    rate: float,
    goal: float,
    future: Array,
    parameters: Parameters,
) -> tuple[float, float]:
    """J as played, by coefficient and product, minus the least J; and the best coefficient."""
    own, reach, most = 1 - parameters.kept, parameters.reach, parameters.most
    drift = 1 - 2 * rate * parameters.regularization
    played = _unit_cost(action[0], drift - 2 * rate * action[1], goal, own, future)
    best, lowest, tried = action[0], played, np.empty(18)
    for j in range(future.shape[1] + 1):
        clipped = j == future.shape[1]  # the interval beyond the bound, where nothing depends on m
        near = future[0, j - 1] / goal if j else 0.0
        far = np.inf if clipped else future[0, j] / goal
        a, b = (0.0, 0.0) if clipped else (future[1, j], future[2, j])
        wanted = (drift - b / a) / (2 * rate) if a > 0 else 0.0
        weight = 4 * rate * rate * a
        for sign in (1.0, -1.0):
            ends = (drift - sign * near) / (2 * rate), (drift - sign * far) / (2 * rate)
            low, high = min(ends), max(ends)
            if high < -reach * reach / 4 or low > most * (most + reach):
                continue
            target = min(max(wanted, low), high)
            count = _stationary_points(tried, rate, own, drift, a, b, weight, wanted, reach)
            count = _kinks(tried, count, (low, high, target), reach)
            for i in range(count):
                c = min(max(tried[i], 0.0), most)
                q = min(max(target, c * (c - reach)), c * (c + reach))
                cost = _unit_cost(c, drift - 2 * rate * q, goal, own, future)
                if cost < lowest:
                    best, lowest = c, cost
    gain = played - lowest
    return (gain if gain >= 0 else np.inf), best  # unbounded where sums overflow


@compiled
def _stationary_points(
    tried: Array,
    rate: float,
    own: float,
    drift: float,
    a: float,
    b: float,
    weight: float,
    wanted: float,
    reach: float,
) -> int:
    """Write where J may be stationary, coefficient 1 included, to the front of `tried`; returns how many."""
    tried[0], count = 1.0, 1
    if reach == 0:
        alpha, beta = numerics.first_order_condition(rate, 1.0, (1 - drift) / (2 * rate), a, b, own)
        tried[1] = numerics.positive_root(alpha, beta, own)
        return 2
    if not 0 < weight < np.inf:
        return count
    for edge in (reach, -reach):
        # (c − 1) + w (q − q*) dq/dc along the edge q = c (c + edge) of what the rules allow
        cubic = np.array([2.0, 3 * edge, edge**2 - 2 * wanted + 1 / weight, -edge * wanted - 1 / weight])
        if not np.isfinite(cubic).all():  # of a future that weighs less than floating point has
            continue
        for root in np.roots(cubic.astype(np.complex128)):
            if abs(root.imag) <= 1e-6 * (1 + abs(root.real)):
                tried[count] = root.real
                count += 1
    return count


@compiled
def _kinks(tried: Array, count: int, products: tuple[float, float, float], reach: float) -> int:
    """Append the coefficients c ≥ 0 at which c (c ± δ) is one of the products; returns how many there are."""
    half = reach / 2
    for product in products:
        square = half * half + product
        if 0 <= square < np.inf:
            root = np.sqrt(square)
            tried[count], count = root - half, count + 1
            if reach > 0:
                tried[count], tried[count + 1], count = half + root, half - root, count + 2
    return count

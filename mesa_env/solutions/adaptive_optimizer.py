"""The oracle of the game with other base optimizers: backward induction over what agents see.

An agent's state is its goal and what the optimizer remembers. All that it needs to know of its successors are

    A(s) = E Σ_{k>n} γ^(k−n−1) y_k²,   B(s) = E Σ_{k>n} γ^(k−n−1) y_k,   K = Σ_{k>n} γ^(k−n−1)

in the state s that it hands on, and its mesa cost is J(c) = (cθ − θ)² + γ E[A(s') − 2θ B(s') + θ² K]. A step
depends on c through c² alone, so that a negative c is never better; J is searched over [0, bound], closest
together around 0, and then between the neighbors of the best. Where steps do not grow with the goal, J has
two minima, one near silence and one near c = 1, and agents jump from one to the other as θ passes: no
formula finds that. Tables hold A, less what noise alone brings about from a goal and a memory of 0, over the
square of the state's size, and B over its size; between nodes they are linear, and beyond the last ones
constant. States (θ, …) and (−θ, …) with all signs changed are alike. The next state is always that of the
rules, projection included.

Noise comes between a coefficient and its consequences: all that c changes is the mean of the gradient, and
A and B of the next state are functions of the gradient alone. So they are tabulated over it, once for all
coefficients, and their expectations are exact between its knots (`mesa_env.solutions.smoothing`); with
momentum, under which they are smooth, they are Gaussian quadratures.

*Certainty equivalence.* Under plain gradient descent noise changes no coefficient, while no goal is
projected: successors play fixed coefficients, so that later outputs are linear in θ' = mθ − ησξ and in the
noise to come, and with u_k = y_k/θ' without noise

    E (y_k − θ)² = (u_k m − 1)² θ² + terms in which c does not appear.

So the equilibrium is the base game's, and only J's level rises with σ.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mesa_env import numerics
from mesa_env.agent import GameAgent, Profile
from mesa_env.numerics import Array, Booleans, Integers
from mesa_env.optimizers import Adam, GradientDescent, Momentum
from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer, Running
from mesa_env.rules.game import Game
from mesa_env.rules.rules import State
from mesa_env.solutions.equilibrium import unwarned_equilibrium
from mesa_env.solutions.smoothing import gaussian_weights, knots_around_zero
from mesa_env.validation import require_kind

_PROPOSALS, _BETWEEN = 121, 9  # coefficients tried, and between the best one's neighbors
_ROUNDS = {False: 4, True: 1}  # so often; where noise is smoothed, costs are flat around the best one
_JUMP = 0.3  # between coefficients of neighboring nodes, from which on the nearest one's is played
_AT_ONCE = 2**20  # states times coefficients weighed at once
_NODES = 7  # of the noise, with momentum
_USUAL = 1.15  # coefficients up to which knots are close
_SMOOTHED = 500  # costs whose evaluation takes as long as one state's smoothing
_CELLS = {0: (3000,), 1: (16, 384), 2: (28, 24, 24)}  # of the tables, by how much the optimizer remembers
_NOISY_CELLS = {0: (800,), 1: (32, 64), 2: (40, 24, 20)}


class Table(NamedTuple):
    """A and B from an episode on, over a box of coordinates of the state."""

    axes: tuple[Array, ...]
    values: Array  # (A − A(0)) / size² and B / size, shape (…, 2)
    floor: float  # A(0), where goal and memory are 0
    policy: Array  # coefficients at the nodes, shape (…)


def base_game_of(game: AdaptiveOptimizer) -> Game:
    """The base game with the same schedule and bounds, trained by plain gradient descent without noise."""
    return Game(
        game.learning_rates,
        game.discount,
        game.regularization,
        game.coefficient_bound,
        game.goal_bound,
        game.initial_goal,
    )


def make_oracle(game: AdaptiveOptimizer) -> GameAgent:
    """The equilibrium of plain gradient descent in closed form, and of other optimizers by tables."""
    require_kind(game, AdaptiveOptimizer)
    if type(game.optimizer) is GradientDescent:
        return Profile(game, unwarned_equilibrium(base_game_of(game)))
    return TabulatedOracle(game)


class TabulatedOracle(GameAgent):
    """Plays best responses to tabulated successors in the state that it sees.

    Where gradients are noisy, coefficients are tabulated, too.

    Args:
        game: The game.
        finer: How many times as many cells the tables have along each axis.
    """

    game: AdaptiveOptimizer

    def __init__(self, game: AdaptiveOptimizer, finer: float = 1.0) -> None:
        super().__init__(game)
        self.tables = _solve(game, finer)
        """Of every training episode, and of the first one after them, (T + 1)."""

    def _act(self, rows: Array, episode: Integers, memory: Any, begins: Booleans) -> tuple[Array, Any]:
        return self.coefficients(episode, rows[:, 0], rows[:, 4:]), None

    def coefficients(self, episode: Integers, goal: Array, remembered: Array) -> Array:
        """Coefficients in the states (n, θ, what is remembered); (B,), (B,) and (B, M) to (B,)."""
        chosen = np.full(len(goal), min(1.0, self.game.coefficient_bound))
        for n in np.unique(episode[self.game.training[episode] & (goal != 0)]):
            here = np.flatnonzero((episode == n) & (goal != 0))
            if self.game.stochastic:
                places, _, _ = _locate(self.game, int(n), goal[here], remembered[here])
                chosen[here] = _coefficients_at(self.tables[n], places)
            else:
                following = self.tables[n + 1]
                chosen[here] = _best_responses(self.game, int(n), goal[here], remembered[here], following)[0]
        return chosen


# -- Coordinates of states --------------------------------------------------------------------------------


def _locate(
    game: AdaptiveOptimizer, episode: int, goal: Array, remembered: Array
) -> tuple[list[Array], Array, Array]:
    """Coordinates of states, their sizes, and the signs that were taken from them; elementwise.

    Without a memory, |θ|. With a velocity v: the size (θ² + w²v²)^½ and the angle of (θ, wv), on which alone
    everything depends where nothing is projected. With a mean and a mean square, corrected for their start:
    |θ|, the ratio of the mean to the root of the mean square, and that root, as a share of itself and of
    2|θ|, or, in noise, the logarithm of the root over σ. Noise may bring goals close to 0 that what is
    remembered still moves: their size is (θ² + η²)^½, with the highest rate that is to come.
    """
    signs = np.where(goal < 0, -1.0, 1.0)
    sizes = np.abs(goal)
    if isinstance(game.optimizer, Momentum):
        pull = signs * remembered[..., 0] * _VELOCITY_WEIGHT * (1 - game.optimizer.momentum)
        size = np.hypot(sizes, pull)
        return [size, np.arctan2(pull, sizes)], size, signs
    if isinstance(game.optimizer, Adam):
        steps = max(_steps_before(game, episode), 1)
        mean = signs * remembered[..., 0] / (1 - game.optimizer.beta1**steps)
        root = np.sqrt(remembered[..., 1] / (1 - game.optimizer.beta2**steps))
        ratio = np.divide(mean, root, out=np.zeros_like(mean), where=root > 0)
        if game.stochastic:
            longest = game.learning_rates[episode:].max(initial=0.0)
            place = np.log(np.maximum(root / deviation_of(game), _LEAST_ROOT))
            return [sizes, ratio, place], np.hypot(sizes, longest), signs
        share = np.divide(root, root + 2 * sizes, out=np.zeros_like(root), where=root > 0)
        return [sizes, ratio, share], sizes, signs
    return [sizes], sizes, signs


def deviation_of(game: AdaptiveOptimizer) -> float:
    """σ, or what is as good as none."""
    return max(game.noise, _LEAST_NOISE * _largest_start(game))


def _largest_start(game: AdaptiveOptimizer) -> float:
    """The largest |θ_0|, or 1 where all are 0."""
    return float(np.max(np.abs(game.initial_goal))) or 1.0


def _steps_before(game: AdaptiveOptimizer, episode: int) -> int:
    """How many steps the optimizer has taken when an episode begins."""
    return int(game.training[:episode].sum())


_VELOCITY_WEIGHT = 0.5  # a velocity that lasts is 2θ / (1 − μ) where c = 1
_WIDEST_RATIO = 3.0  # of a corrected mean gradient to the root of the mean square; beyond it, as there
_LEAST_NOISE = 1e-12  # as a share of the largest |θ_0|
_LEAST_ROOT = 1e-9  # of the mean square gradient over σ
# Of pure noise, over σ, that are rare after one step, two, three, and more.
_LOW_ROOTS = (0.01, 0.1, 0.2, 0.3)
_HIGH_ROOT = 4.0  # of pure noise, likewise
_ONE_STEP = 4  # times as many nodes where the ratio is 1 or −1


def _nodes_of(game: AdaptiveOptimizer, episode: int, finer: float) -> tuple[Array, ...]:
    """The axes of an episode's table, in the coordinates of `_locate`."""
    counts = (_NOISY_CELLS if game.stochastic else _CELLS)[len(game.optimizer.remembers)]
    counts = tuple(round(finer * count) for count in counts)
    first = _largest_start(game)
    if isinstance(game.optimizer, Adam) and game.stochastic:
        return _nodes_in_noise(game, game.optimizer, episode, first, counts)
    largest = min(game.goal_bound, max(1.5 * first, _reach(game, first)))
    if isinstance(game.optimizer, Momentum):
        sizes = np.geomspace(1e-3 * first, 4 * largest, counts[0])
        return sizes, np.linspace(-np.pi / 2, np.pi / 2, counts[1] + 1)
    near = np.linspace(0, min(1.25 * first, largest), 3 * counts[0] // 4)[1:]
    far = np.linspace(near[-1], largest, counts[0] - len(near) + 1)[1:] if largest > near[-1] else near[:0]
    goals = np.concatenate([near, far])
    if isinstance(game.optimizer, Adam):
        ratios = np.linspace(-_WIDEST_RATIO, _WIDEST_RATIO, counts[1] + 1)
        return goals, ratios, np.linspace(0, 1, counts[2]) ** 2
    return (goals,)


def _nodes_in_noise(
    game: AdaptiveOptimizer, adam: Adam, episode: int, first: float, counts: tuple[int, ...]
) -> tuple[Array, ...]:
    """Axes over what Adam and noise can have brought about when an episode begins."""
    steps = _steps_before(game, episode)
    widest = _widest_ratio(adam, steps)
    usual = min(1.1 * first, game.goal_bound)
    largest = max(min(first + widest * float(game.learning_rates[:episode].sum()), game.goal_bound), usual)
    near = np.linspace(0, usual, 3 * counts[0] // 4)
    near[0] = 1e-3 * usual  # at 0 all coefficients cost the same
    far = np.linspace(usual, largest, counts[0] - len(near) + 1)[1:] if largest > usual else near[:0]
    goals = np.concatenate([near, far])
    if steps == 0:  # nothing is remembered
        return goals, np.array([-1.0, 1.0]), np.array([-1.0, 1.0])
    slope = game.coefficient_bound**2 + game.regularization
    low = _LOW_ROOTS[min(steps, len(_LOW_ROOTS)) - 1]
    high = 2 * min(slope, 1 + game.regularization) * largest / deviation_of(game) + _HIGH_ROOT
    alone = steps == 1
    roots = np.linspace(np.log(low), np.log(high), counts[2] * (_ONE_STEP if alone else 1))
    if alone:
        return goals, np.array([-1.0, 1.0]), roots
    return goals, widest * np.sin(np.linspace(-np.pi / 2, np.pi / 2, counts[1])), roots


def _widest_ratio(adam: Adam, steps: int) -> float:
    """Largest corrected mean gradient over the root of the mean square, by Cauchy and Schwarz."""
    ages = np.arange(max(steps, 1))
    first, second = ((1 - beta) * beta**ages / (1 - beta ** len(ages)) for beta in (adam.beta1, adam.beta2))
    used = first > 0
    with np.errstate(divide="ignore", over="ignore"):
        widest = float(np.sqrt((first[used] ** 2 / second[used]).sum()))
    return min(widest, _WIDEST_RATIO)


def _reach(game: AdaptiveOptimizer, first: float) -> float:
    """How far steps that do not grow with the goal may take it."""
    steepest = game.steepest_gradient
    directions, _ = game.optimizer.direct(np.array([steepest]), _blank_memory(game), np.array([1.0]))
    return first + float(game.learning_rates.sum() * abs(directions[0]))


def _blank_memory(game: AdaptiveOptimizer) -> tuple[Array, ...]:
    return tuple(np.zeros(1) for _ in game.optimizer.remembers)


def _state_at(game: AdaptiveOptimizer, episode: int, places: list[Array]) -> tuple[Array, Array]:
    """Goals and what is remembered at coordinates, (P,) each; the inverse of `_locate`."""
    if isinstance(game.optimizer, Momentum):
        size, angle = places
        velocity = size * np.sin(angle) / (_VELOCITY_WEIGHT * (1 - game.optimizer.momentum))
        return size * np.cos(angle), velocity[:, None]
    if isinstance(game.optimizer, Adam):
        goal, ratio, place = places
        steps = _steps_before(game, episode)
        if steps == 0:
            return goal, np.zeros((len(goal), 2))
        if game.stochastic:
            root = deviation_of(game) * np.exp(place)
        else:
            root = 2 * goal * place / np.maximum(1 - place, 1e-6)
        mean = ratio * root * (1 - game.optimizer.beta1**steps)
        return goal, np.stack([mean, root * root * (1 - game.optimizer.beta2**steps)], axis=-1)
    return places[0], np.zeros((len(places[0]), 0))


def _interpolate(axes: tuple[Array, ...], table: Array, places: list[Array]) -> Array:
    """Values of a table at coordinates, linear between nodes and constant beyond; (*P,) or (*P, V)."""
    below, shares = _cells_of(axes, places)
    found: Any = 0.0
    for corner in np.ndindex(*(2,) * len(axes)):
        weight: Any = 1.0
        for share, high in zip(shares, corner, strict=True):
            weight = weight * (share if high else 1 - share)
        values = table[tuple(at + high for at, high in zip(below, corner, strict=True))]
        found = found + (weight[..., None] if table.ndim > len(axes) else weight) * values
    interpolated: Array = found
    return interpolated


def _cells_of(axes: tuple[Array, ...], places: list[Array]) -> tuple[list[Integers], list[Array]]:
    """Per axis the node below each coordinate, and how far on the way to the next one it is; (*P,) each."""
    below, shares = [], []
    for nodes, place in zip(axes, places, strict=True):
        at = np.clip(np.searchsorted(nodes, place, side="right") - 1, 0, len(nodes) - 2)
        below.append(at)
        shares.append(np.clip((place - nodes[at]) / (nodes[at + 1] - nodes[at]), 0.0, 1.0))
    return below, shares


def _coefficients_at(table: Table, places: list[Array]) -> Array:
    """Coefficients at coordinates: where those around them jump, that of the nearest node; (P,)."""
    below, shares = _cells_of(table.axes, places)
    around = np.stack(
        [
            table.policy[tuple(at + high for at, high in zip(below, corner, strict=True))]
            for corner in np.ndindex(*(2,) * len(below))
        ]
    )
    nearest = table.policy[tuple(at + (share > 0.5) for at, share in zip(below, shares, strict=True))]
    jumps = np.ptp(around, axis=0) > _JUMP
    return np.where(jumps, nearest, _interpolate(table.axes, table.policy, places))


# -- Backward induction -----------------------------------------------------------------------------------


def _solve(game: AdaptiveOptimizer, finer: float) -> list[Table]:
    """Tables of every training episode, from the last one backwards."""
    trained = int(np.flatnonzero(game.training).max(initial=-1)) + 1
    axes = _nodes_of(game, trained, finer)
    nodes = int(np.prod(tuple(map(len, axes))))
    weighed = _PROPOSALS + _ROUNDS[_is_smoothed(game)] * _BETWEEN
    if game.stochastic:
        weighed = weighed * _NODES if isinstance(game.optimizer, Momentum) else _SMOOTHED
    numerics.announce_work("solving this game", trained * nodes * weighed, 3 * (trained + 1) * nodes)
    open_ = min(1.0, game.coefficient_bound)
    left = float(numerics.discounted_lengths(game.discount, game.episodes)[trained])
    goal, remembered = _states_of(game, trained, axes)
    after = (left * (open_ * goal) ** 2, left * open_ * goal)
    tables = [_tabulate(game, trained, axes, (np.full(nodes, open_), *after), 0.0)]
    for n in reversed(range(trained)):
        following = tables[-1]
        axes = _nodes_of(game, n, finer)
        goal, remembered = _states_of(game, n, axes)
        if game.training[n]:
            found = _best_responses(game, n, goal, remembered, following)
            squares, _ = _future_of(game, n, np.zeros(1), 0 * remembered[:1], following)(np.zeros((1, 1)))
            floor = game.discount * float(squares[0, 0])
        else:
            squares, outputs = _look_up(following, *_locate(game, n, goal, remembered))
            found = (
                np.full(len(goal), open_),
                (open_ * goal) ** 2 + game.discount * squares,
                open_ * goal + game.discount * outputs,
            )
            floor = game.discount * following.floor
        tables.append(_tabulate(game, n, axes, found, floor))
    return tables[::-1]


def _states_of(game: AdaptiveOptimizer, n: int, axes: tuple[Array, ...]) -> tuple[Array, Array]:
    """Goals and what is remembered at the nodes of an episode's table, (P,) and (P, M)."""
    return _state_at(game, n, [part.ravel() for part in np.meshgrid(*axes, indexing="ij")])


def _tabulate(
    game: AdaptiveOptimizer, n: int, axes: tuple[Array, ...], found: tuple[Array, Array, Array], floor: float
) -> Table:
    """The table of coefficients, A and B, each (P,), at the nodes of the axes."""
    shape = tuple(map(len, axes))
    _, size, _ = _locate(game, n, *_states_of(game, n, axes))
    chosen, squares, outputs = found
    values = np.stack([(squares - floor) / size**2, outputs / size], axis=-1)
    return Table(axes, values.reshape(*shape, 2), floor, chosen.reshape(shape))


def _look_up(table: Table, places: list[Array], sizes: Array, signs: Array) -> tuple[Array, Array]:
    """A and B in states by their coordinates, sizes and signs; elementwise."""
    found = _interpolate(table.axes, table.values, places)
    return table.floor + found[..., 0] * sizes**2, found[..., 1] * sizes * signs


def _best_responses(
    game: AdaptiveOptimizer, n: int, goal: Array, remembered: Array, following: Table
) -> tuple[Array, Array, Array]:
    """Best coefficients of states (P,), and A and B from their agents on."""
    if _is_smoothed(game):
        starts = np.flatnonzero(np.diff(goal, prepend=np.nan))  # of runs of the same goal
    else:
        starts = np.arange(0, len(goal), max(1, _AT_ONCE // _PROPOSALS))
    parts = []
    for first, end in itertools.pairwise([*starts, len(goal)]):
        some = slice(first, end)
        parts.append(_search(_future_of(game, n, goal[some], remembered[some], following), game, goal[some]))
    chosen, squares, outputs = (np.concatenate(part) for part in zip(*parts, strict=True))
    return chosen, squares, outputs


Future = Callable[[Array], tuple[Array, Array]]
"""From coefficients (P, C) to E A and E B of the states that they lead to."""


def _search(future: Future, game: AdaptiveOptimizer, goal: Array) -> tuple[Array, Array, Array]:
    """The coefficients in [0, bound] that cost least, and A and B from their agents on; each (P,)."""
    theta, rows = goal[:, None], np.arange(len(goal))
    spread = np.linspace(0, 1, _PROPOSALS) ** 2 * game.coefficient_bound
    tried = np.sort(np.append(spread, min(1.0, game.coefficient_bound)))
    tried = np.broadcast_to(tried, (len(goal), len(tried)))
    for _ in range(_ROUNDS[_is_smoothed(game)] + 1):
        squares, outputs = future(tried)
        costs = ((tried - 1) * theta) ** 2 + game.discount * (squares - 2 * theta * outputs)
        at = costs.argmin(axis=1)
        best, a, b = tried[rows, at], squares[rows, at], outputs[rows, at]
        low = tried[rows, np.maximum(at - 1, 0)]
        high = tried[rows, np.minimum(at + 1, tried.shape[1] - 1)]
        between = low[:, None] + np.linspace(0, 1, _BETWEEN) * (high - low)[:, None]
        tried = np.sort(np.concatenate([between, best[:, None]], axis=1), axis=1)
    return best, (best * goal) ** 2 + game.discount * a, best * goal + game.discount * b


def _is_smoothed(game: AdaptiveOptimizer) -> bool:
    """Whether expectations are over all gradients that noise may bring: where steps may jump with it."""
    return game.stochastic and not isinstance(game.optimizer, Momentum)


def _future_of(game: AdaptiveOptimizer, n: int, goal: Array, remembered: Array, following: Table) -> Future:
    """What the successors of agents in states (P,) do in expectation; with the same goal, if smoothed."""

    def gradients(coefficients: Array) -> Array:
        """Without noise."""
        return 2 * (coefficients * coefficients + game.regularization) * goal[:, None]

    def after(gradient: Array) -> tuple[Array, Array]:
        return _after(game, n, goal, remembered, following, gradient)

    def expect(coefficients: Array) -> tuple[Array, Array]:
        squares, outputs = np.zeros_like(coefficients), np.zeros_like(coefficients)
        nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
        for node, weight in zip(nodes, weights / weights.sum(), strict=True):
            a, b = after(gradients(coefficients) + game.noise * node)
            squares += weight * a
            outputs += weight * b
        return squares, outputs

    if not game.stochastic:
        return lambda coefficients: after(gradients(coefficients))
    if not _is_smoothed(game):
        return expect
    deviation = deviation_of(game)
    usual, most = gradients(np.array([[_USUAL, game.coefficient_bound]]))[0]
    knots = knots_around_zero(deviation, usual, most)
    known = np.stack(after(np.broadcast_to(knots, (len(goal), len(knots)))))

    def smooth(coefficients: Array) -> tuple[Array, Array]:
        found = np.empty((2, *coefficients.shape))
        rows, alike = np.unique(coefficients, axis=0, return_inverse=True)
        for i, row in enumerate(rows):
            weights = gaussian_weights(knots, gradients(row[None])[0], deviation)
            found[:, alike == i] = known[:, alike == i] @ weights
        squares, outputs = found
        return squares, outputs

    return smooth


def _after(
    game: AdaptiveOptimizer, n: int, goal: Array, remembered: Array, following: Table, gradient: Array
) -> tuple[Array, Array]:
    """A and B of the states that gradients (P, G) lead to from states (P,)."""
    state = State(np.int64(n), goal[:, None], Running(remembered[:, None, :], np.zeros(0)))  # type: ignore[arg-type]
    # Only plain gradient descent, which has a closed form, looks at more than the gradient.
    handed_on, kept = game.update(state, np.zeros_like(gradient), gradient, None)
    kept = np.broadcast_to(kept, (*gradient.shape, remembered.shape[1]))
    return _look_up(following, *_locate(game, n + 1, handed_on, kept))

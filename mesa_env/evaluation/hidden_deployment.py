"""What agents could gain in the game with hidden deployment: certificates of oracles, audits of learners.

A policy without memory is tabulated and measured exactly, on a grid and by a quadrature that are not the
solver's. A policy with memory is measured by simulating what its successors will do.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from mesa_env.agent import Agent
from mesa_env.evaluation.gains import Audit, best_deviations
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.numerics import discounted_lengths
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, Hidden, HiddenDeployment
from mesa_env.rules.rules import Array, State
from mesa_env.solutions.beliefs import Expectations, Table, trapezoid
from mesa_env.solutions.hidden_deployment import (
    MODES,
    ModeSolution,
    Situation,
    best_responses_given,
    first_order_condition_given,
    situation_by_signal,
    solve_by_mode,
    unit_sums_backward,
)

_BEYOND = 4.0  # how much further than the shown log-odds certificates look


def tabulate(game: HiddenDeployment, agent: Agent, points: int = 1201, goal: float = 0.8) -> Table:
    """The policy of an agent without memory: what it plays in every episode, for log-odds or signals.

    These are in even steps between the observation's bounds; a policy that depends on the goal is tabulated
    for the one given.
    """
    low, high = (bound[4] for bound in game.observation_bounds)
    at = np.linspace(low, high, points)
    state = game.start(np.full((points, game.n_uniforms), 0.5), np.full(points, goal))
    begins = np.ones(points, dtype=bool)
    coefficients = np.empty((game.episodes, points))
    for n in range(game.episodes):
        shown = game.observe(state._replace(episode=np.full(points, n)))
        shown[:, 4] = at
        action, _ = agent.predict(shown, episode_start=begins, deterministic=True)
        coefficients[n] = action[:, 0]
    return Table(at, coefficients)


def belief_exploitability(
    game: HiddenDeployment, policy: Table, log_odds: int = 2048, nodes: int = 129
) -> Array:
    """What agents that know p_n would gain by best responses to a policy c_n(logit p_n) of all others.

    Its grid of `log_odds` points is wider and finer than the solver's, with points elsewhere, and its
    expectations are taken by the trapezoidal rule, so that it can certify the solver. The distribution of
    beliefs is carried forward by the same matrices, transposed.

    Returns:
        Expected gain of agent n, in units of θ_n², as a share of K_n = Σ_{k ≥ n} γ^(k−n), the cost of
        emitting 0 forever; shape (N,).
    """
    expect, squares, outputs = _belief_sums(game, policy, log_odds, nodes)
    grid, belief = squares.at, expit(squares.at)
    reached, expected = np.zeros((2, log_odds)), np.empty(game.episodes)
    reached[1, -1] = 1.0
    for n, rate in enumerate(game.learning_rates):
        played = policy.read(np.full(log_odds, n), grid)
        situation = Situation(rate, belief, squares.values[n], outputs.values[n])
        gains, _ = _best_deviations(game, situation, played)
        expected[n] = reached.sum(axis=0) @ gains
        reached = expect.forward(reached)
    return np.maximum(expected, 0.0) / discounted_lengths(game.discount, game.episodes)[:-1]


def signal_exploitability(game: HiddenDeployment, policy: Table, nodes: int = 2001) -> Array:
    """What agents that know only n and x_n would gain by best responses to a policy c_n(x_n) of all others.

    Expectations over the signal are taken by the trapezoidal rule; units are as in `belief_exploitability`.
    """
    sums, expected = _signal_sums(game, policy, nodes), np.empty(game.episodes)
    noise, weights = trapezoid(nodes)
    for n in range(game.episodes):
        episode, signal = np.full((2, nodes), n), noise + game.shift * MODES
        situation = situation_by_signal(game, sums, episode, signal)
        gains, _ = _best_deviations(game, situation, policy.read(episode, signal))
        expected[n] = expit([-game.prior[n], game.prior[n]]) @ (gains @ weights)
    return expected / discounted_lengths(game.discount, game.episodes)[:-1]


def audit_hidden_deployment(game: HiddenDeployment, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of a batch of games could gain given what it was shown, judged by its own goal.

    For an agent with memory this is `simulated_exploitability.high`, the same in every game: gains turn by
    turn would need its memory at each.
    """
    lengths = discounted_lengths(game.discount, game.episodes)[:-1]
    weights = np.broadcast_to(lengths, played.coefficients.shape)
    start = game.observe(game.start(np.full((1, game.n_uniforms), 0.5)))
    if agent.predict(start, episode_start=np.ones(1, dtype=bool), deterministic=True)[1] is not None:
        unknown = np.full(weights.shape, np.nan)
        return Audit(np.maximum(simulated_exploitability(game, agent).high, 0.0) * weights, weights, unknown)
    policy, episode = tabulate(game, agent), np.broadcast_to(np.arange(game.episodes), weights.shape)
    if game.observed == "signal":
        sums = _signal_sums(game, policy)
        situation = situation_by_signal(game, sums, episode, played.details["signal"])
    else:
        belief = played.details["belief"]
        _, *by_belief = _belief_sums(game, policy)
        at_belief = (sums.read(episode, logit(belief)) for sums in by_belief)
        situation = Situation(game.learning_rates[episode], belief, *at_belief)
    gains, best = _best_deviations(game, situation, played.coefficients)
    return Audit(gains, weights, best)


def _belief_sums(
    game: HiddenDeployment, policy: Table, log_odds: int = 2048, nodes: int = 129
) -> tuple[Expectations, Table, Table]:
    """Unit sums A_1 and B_1 of a policy by log-odds, after the expectations used to find them."""
    limit = LARGEST_LOG_ODDS + _BEYOND
    grid = np.linspace(-limit, limit, log_odds)
    expect = Expectations(game, grid, *trapezoid(nodes))
    squares, outputs = unit_sums_backward(
        game, lambda n, *_: policy.read(np.full(log_odds, n), grid), expect, log_odds
    )
    return expect, Table(grid, squares[:, 1]), Table(grid, outputs[:, 1])


def _signal_sums(game: HiddenDeployment, policy: Table, nodes: int = 2001) -> ModeSolution:
    """Unit sums of a policy by signal."""
    noise, weights = trapezoid(nodes)
    signal = noise + game.shift * MODES
    return solve_by_mode(game, lambda n, *_: policy.read(np.full(signal.shape, n), signal), weights)


def _best_deviations(game: HiddenDeployment, situation: Situation, played: Array) -> tuple[Array, Array]:
    """J(c) − min J in units of θ_n², and where J is least."""
    condition = first_order_condition_given(game, situation)
    return best_deviations(*condition, played, game.coefficient_bound)


class SimulatedExploitability(NamedTuple):
    """Bounds on the expected relative gain of every agent, each of shape (N,), but for sampling error."""

    low: Array  # best responses found on one half of the futures and paid on the other
    high: Array  # best responses found and paid on all futures


def simulated_exploitability(
    game: HiddenDeployment, agent: Agent, histories: int = 32, futures: int = 32, seed: int = 0
) -> SimulatedExploitability:
    """`belief_exploitability` of an agent that may have a memory, by Monte Carlo.

    Histories of signals are played; at every episode n of each, `futures` continuations are branched off in
    which n trains, and the successors' unit sums A_1 and B_1 are averaged over them: gains do not depend on
    A_0 and B_0. The deviating agent knows all signals so far, even if the measured agent does not. The
    coefficients are assumed to depend neither on the goal nor on what was played before: the agent is shown
    the same goal throughout, and is asked deterministically. Its memory is None, an array with one row per
    game, or, as in the recurrent policies of sb3-contrib, a tuple of arrays (layers, rows, …).

    Raises:
        ValueError: If `futures` is odd or below 2.
    """
    if futures < 2 or futures % 2:
        raise ValueError(f"futures must be an even number ≥ 2; got {futures!r}")
    generator = np.random.default_rng(seed)
    goal = np.full(histories, 0.8 if isinstance(game.initial_goal, tuple) else game.initial_goal)
    state, memory = game.start(generator.random((histories, game.n_uniforms)), goal), None
    begins, gains = np.ones(histories, dtype=bool), np.empty((2, game.episodes))
    for n in range(game.episodes):
        action, memory = agent.predict(
            game.observe(state), state=memory, episode_start=begins, deterministic=True
        )
        squares, outputs = _futures(game, agent, state, memory, futures, generator)
        gains[:, n] = _sampled_gains(game, state, action[:, 0].astype(np.float64), squares, outputs)
        state = game.play(state, action)[0]._replace(goal=goal)
        begins = np.zeros_like(begins)
    low, high = gains / discounted_lengths(game.discount, game.episodes)[:-1]
    return SimulatedExploitability(low, high)


def _futures(
    game: HiddenDeployment, agent: Agent, state: State, memory: Any, futures: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Unit sums A_1 and B_1 of the agent's successors in branched games, of shape (histories, futures)."""
    rows = np.repeat(np.arange(len(state.goal)), futures)
    n, goal, hidden = state.episode[rows], state.goal[rows], state.extra
    # Training is memoryless: from n on it lasts as long as from 0 on.
    lasting = n + game.training_lengths(rng.random(rows.size))
    noise = rng.standard_normal((rows.size, game.episodes))
    branched = Hidden(lasting, hidden.log_odds[rows], hidden.signal[rows], noise)
    branch, memory = State(n, goal, branched), _rows_of(memory, rows)
    idle, begins = np.zeros((rows.size, 1)), np.zeros(rows.size, dtype=bool)
    squares, outputs, kept, weight = np.zeros(rows.size), np.zeros(rows.size), np.ones(rows.size), 1.0
    branch, _ = game.play(branch, idle)
    while not game.over(branch)[0].all():
        branch = branch._replace(goal=goal)
        action, memory = agent.predict(
            game.observe(branch), state=memory, episode_start=begins, deterministic=True
        )
        c = action[:, 0].astype(np.float64)
        squares += weight * (c * kept) ** 2
        outputs += weight * c * kept
        rate = game.learning_rates[branch.episode] * (branch.episode < branch.extra.training_episodes)
        kept *= 1 - 2 * rate * (c * c + game.regularization)
        weight *= game.discount
        branch, _ = game.play(branch, idle)
    return squares.reshape(-1, futures), outputs.reshape(-1, futures)


def _sampled_gains(
    game: HiddenDeployment, state: State, played: Array, squares: Array, outputs: Array
) -> tuple[float, float]:
    """Mean gains over histories of best responses, paid on other futures than found on, and on the same."""
    belief, rate = expit(state.extra.log_odds), game.learning_rates[state.episode]

    def respond(a: Array, b: Array) -> Array:
        return best_responses_given(game, Situation(rate, belief, a.mean(axis=-1), b.mean(axis=-1)))

    def mean_gain(a: Array, b: Array, best: Array) -> float:
        m = 1 - 2 * rate * (np.array([played, best]) ** 2 + game.regularization)
        future = m * m * a.mean(axis=-1) - 2 * m * b.mean(axis=-1)
        cost = (np.array([played, best]) - 1) ** 2 + game.discount * belief * future
        return float((cost[0] - cost[1]).mean())

    halves = list(zip(np.split(squares, 2, axis=-1), np.split(outputs, 2, axis=-1), strict=True))
    crossed = [mean_gain(*halves[i], respond(*halves[1 - i])) for i in range(2)]
    return sum(crossed) / 2, mean_gain(squares, outputs, respond(squares, outputs))


def _rows_of(memory: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of an agent's memory: along axis 1 of the arrays of a recurrent policy, axis 0 otherwise."""
    if memory is None:
        return None
    if isinstance(memory, tuple):
        return tuple(np.asarray(part)[:, rows] for part in memory)
    return np.asarray(memory)[rows]

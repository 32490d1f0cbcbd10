"""What agents could gain in the game with hidden deployment: certificates of oracles, measures of learners.

A policy without memory is tabulated and measured exactly, on a grid and by a quadrature that are not the
solver's. One with a memory is measured by simulating what its successors will do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from mesa_env.agent import Agent
from mesa_env.evaluation.deviations import Audit
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.game import Array, Game, State
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, Hidden, HiddenDeployment
from mesa_env.solutions.equilibrium import gains_of_best_responses, positive_roots
from mesa_env.solutions.hidden_deployment import (
    Expectations,
    ModeSolution,
    Table,
    best_responses_given,
    discounted_lengths,
    first_order,
    solve_by_mode,
    sums_before,
    tabulate,
)

_BEYOND = 4.0  # certificates look so much further than what is shown, in log-odds


def belief_exploitability(
    game: HiddenDeployment, policy: Table, log_odds: int = 2048, nodes: int = 129
) -> Array:
    """What agents that know p_n would gain by best responses to a policy c_n(logit p_n) of all others.

    Its grid is wider and finer than the solver's, its points are elsewhere, and its expectations are taken by
    the trapezoidal rule, so that it can serve as the solver's certificate. The distribution of beliefs is
    carried forward by the same matrices, transposed.

    Args:
        game: The game.
        policy: Coefficients by log-odds.
        log_odds: Points of the grid.
        nodes: Nodes of the next signal's noise.

    Returns:
        Expected gain of agent n, in units of θ_n², as a share of K_n = Σ_{k ≥ n} γ^(k−n), the cost of
        emitting 0 for ever; shape (N,).
    """
    expect, squares, outputs = _belief_sums(game, policy, log_odds, nodes)
    grid, believed = squares.at, expit(squares.at)
    reached, expected = np.zeros((2, log_odds)), np.empty(game.episodes)
    reached[1, -1] = 1.0
    for n, rate in enumerate(game.learning_rates):
        played = policy.read(np.full(log_odds, n), grid)
        gains = _gains(game, _Faced(rate, believed, squares.values[n], outputs.values[n]), played)
        expected[n] = reached.sum(axis=0) @ gains
        reached = expect.forward(reached)
    return np.maximum(expected, 0.0) / discounted_lengths(game)


def signal_exploitability(game: HiddenDeployment, policy: Table, nodes: int = 2001) -> Array:
    """What agents that know only n and x_n would gain by best responses to a policy c_n(x_n) of all others.

    Args:
        game: The game.
        policy: Coefficients by signal.
        nodes: Nodes of the signal's noise, by the trapezoidal rule.

    Returns:
        Expected relative gain of every agent, as in `belief_exploitability`; shape (N,).
    """
    sums, expected = _signal_sums(game, policy, nodes), np.empty(game.episodes)
    noise, weights = _trapezoid(nodes)
    for n in range(game.episodes):
        episode, signal = np.full((2, nodes), n), noise + game.shift * np.array([[0.0], [1.0]])
        gains = _gains(game, _faced_by_signal(game, sums, episode, signal), policy.read(episode, signal))
        expected[n] = np.array([expit(-game.prior[n]), expit(game.prior[n])]) @ (gains @ weights)
    return expected / discounted_lengths(game)


def audit_hidden_deployment(game: HiddenDeployment, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of a batch of games could gain by what it was shown, its goal and policy being its own.

    The audit of an agent that keeps a memory is the expectation of `simulated_exploitability`, above, in
    every game alike: what it could gain turn by turn would need its memory of each.

    Args:
        game: The game.
        agent: Who played it; one without memory is asked what it does at every observation.
        played: A batch of games, as `rollout` has played them.
    """
    weights = np.broadcast_to(discounted_lengths(game), played.coefficients.shape)
    start = game.observe(game.start(np.full((1, game.n_uniforms), 0.5)))
    if agent.predict(start, episode_start=np.ones(1, dtype=bool), deterministic=True)[1] is not None:
        unknown = np.full(weights.shape, np.nan)
        return Audit(np.maximum(simulated_exploitability(game, agent).high, 0.0) * weights, weights, unknown)
    policy, episode = tabulate(game, agent), np.broadcast_to(np.arange(game.episodes), weights.shape)
    if game.observed == "signal":
        faced = _faced_by_signal(game, _signal_sums(game, policy), episode, played.details["signal"])
    else:
        believed = played.details["belief"]
        _, *by_belief = _belief_sums(game, policy)
        squares, outputs = (sums.read(episode, logit(believed)) for sums in by_belief)
        faced = _Faced(game.learning_rates[episode], believed, squares, outputs)
    alpha, beta = first_order(game, *faced)
    best = np.minimum(positive_roots(alpha.ravel(), beta.ravel()), game.coefficient_bound)
    return Audit(_gains(game, faced, played.coefficients), weights, best.reshape(alpha.shape))


def _belief_sums(
    game: HiddenDeployment, policy: Table, log_odds: int = 2048, nodes: int = 129
) -> tuple[Expectations, Table, Table]:
    """Unit sums A_1 and B_1 of a policy by log-odds, and the expectations that they were found with."""
    limit = LARGEST_LOG_ODDS + _BEYOND
    grid = np.linspace(-limit, limit, log_odds)
    expect, shape = Expectations(game, grid, *_trapezoid(nodes)), (game.episodes, 2, log_odds)
    squares, outputs = np.zeros(shape), np.zeros(shape)
    for n in range(game.episodes - 1, 0, -1):
        c = policy.read(np.full(log_odds, n), grid)
        emitted, squared = sums_before(game, n, c, squares[n], outputs[n])
        squares[n - 1], outputs[n - 1] = expect(squared), expect(emitted)
    return expect, Table(grid, squares[:, 1]), Table(grid, outputs[:, 1])


def _signal_sums(game: HiddenDeployment, policy: Table, nodes: int = 2001) -> ModeSolution:
    """Unit sums of a policy by signal."""
    noise, weights = _trapezoid(nodes)
    signal = noise + game.shift * np.array([[0.0], [1.0]])
    return solve_by_mode(game, lambda n, _: policy.read(np.full(signal.shape, n), signal), weights)


class _Faced(NamedTuple):
    """What agents face: learning rates, beliefs, and successors' unit sums A_1 and B_1; of one shape."""

    rate: ArrayLike
    believed: Array
    squares: Array
    outputs: Array


def _faced_by_signal(
    game: HiddenDeployment, sums: ModeSolution, episode: NDArray[np.int64], signal: Array
) -> _Faced:
    """What agents face that know n and x_n."""
    believed = expit(game.updated(game.prior[episode], signal))
    return _Faced(game.learning_rates[episode], believed, sums.squares[episode, 1], sums.outputs[episode, 1])


class SimulatedExploitability(NamedTuple):
    """Bounds on the expected relative gain of every agent, each of shape (N,), but for sampling error.

    Attributes:
        low: Best responses found on one half of the futures and paid on the other: too low in expectation.
        high: Best responses found and paid on all futures: too high in expectation.
    """

    low: Array
    high: Array


def simulated_exploitability(
    game: HiddenDeployment, agent: Agent, histories: int = 32, futures: int = 32, seed: int = 0
) -> SimulatedExploitability:
    """`belief_exploitability` of an agent that may have a memory, by Monte Carlo.

    Histories of signals are played; at every episode n of each, `futures` continuations are branched off that
    have n train, and the successors' unit sums A_1 and B_1 are averaged over them: on A_0 and B_0, no gain
    depends. The deviating agent knows all signals
    so far, also where the agent that is measured does not. It is assumed that the agent's coefficients depend
    neither on the goal nor on what was played before: it is shown one and the same goal throughout.

    Args:
        game: The game.
        agent: Anything with `predict`; asked deterministically. Its memory is None, an array with a row a
            game, or, as with the recurrent policies of sb3-contrib, a tuple of arrays (layers, rows, …).
        histories: Number of histories.
        futures: Number of continuations of each, an even one.
        seed: Of all signals and modes.
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
    low, high = gains / discounted_lengths(game)
    return SimulatedExploitability(low, high)


def _futures(
    game: HiddenDeployment,
    agent: Agent,
    state: State,
    memory: Any,
    futures: int,
    generator: np.random.Generator,
) -> tuple[Array, Array]:
    """Unit sums A_1 and B_1 of the agent's successors in branched games, of shape (histories, futures)."""
    rows = np.repeat(np.arange(len(state.goal)), futures)
    n, goal, hidden = state.episode[rows], state.goal[rows], state.extra
    # Training that goes on is memoryless: it lasts beyond n as it did beyond 0.
    lasting = n + game.training_lengths(generator.random(rows.size))
    noise = generator.standard_normal((rows.size, game.episodes))
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
    """Mean gain over histories of best responses, paid on other futures than found on, and on the same."""
    believed, rate = expit(state.extra.log_odds), game.learning_rates[state.episode]

    def responded(a: Array, b: Array) -> Array:
        return best_responses_given(game, rate, believed, a.mean(axis=-1), b.mean(axis=-1))

    def gained(a: Array, b: Array, best: Array) -> float:
        m = 1 - 2 * rate * (np.array([played, best]) ** 2 + game.regularization)
        future = m * m * a.mean(axis=-1) - 2 * m * b.mean(axis=-1)
        cost = (np.array([played, best]) - 1) ** 2 + game.discount * believed * future
        return float((cost[0] - cost[1]).mean())

    halves = list(zip(np.split(squares, 2, axis=-1), np.split(outputs, 2, axis=-1), strict=True))
    crossed = [gained(*halves[i], responded(*halves[1 - i])) for i in range(2)]
    return sum(crossed) / 2, gained(squares, outputs, responded(squares, outputs))


def _rows_of(memory: Any, rows: NDArray[np.int64]) -> Any:
    """Some games' rows of an agent's memory: axis 1 of a recurrent policy's arrays, axis 0 of others'."""
    if memory is None:
        return None
    if isinstance(memory, tuple):
        return tuple(np.asarray(part)[:, rows] for part in memory)
    return np.asarray(memory)[rows]


def _gains(game: Game, faced: _Faced, played: Array) -> Array:
    """J(c) − min J in units of θ_n², factored as in `mesa_env.solutions.equilibrium`."""
    alpha, beta = first_order(game, *faced)
    return gains_of_best_responses(alpha, beta, played, game.coefficient_bound)


def _trapezoid(nodes: int) -> tuple[Array, Array]:
    """Nodes in even steps on ±9, and weights, of a standard normal variable."""
    noise = np.linspace(-9, 9, nodes)
    weights = np.exp(-noise * noise / 2)
    return noise, weights / weights.sum()

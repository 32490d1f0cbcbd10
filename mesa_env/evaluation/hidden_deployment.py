"""What agents could gain in the game with hidden deployment: certificates of oracles, audits of learners.

A policy without memory is tabulated and measured exactly, by the trapezoidal rule and on a grid that is wider
and finer than the solver's, with points elsewhere, so that it can certify the solver. A policy with memory is
measured by simulating what its successors will do. Where an action may lead to a projection of goals, the
gain is that of playing it under the actual rules in futures that are sampled; elsewhere it is exact.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from mesa_env.agent import Agent, ask_agent, validate_agent
from mesa_env.evaluation.futures import (
    Futures,
    best_projected,
    may_project,
    projected_costs,
    sample_futures,
)
from mesa_env.evaluation.gains import Audit, best_deviations
from mesa_env.evaluation.trajectory import Trajectory, map_states
from mesa_env.numerics import announce_work, discounted_lengths
from mesa_env.rules.hidden_deployment import LARGEST_LOG_ODDS, HiddenDeployment
from mesa_env.rules.rules import Array, State
from mesa_env.solutions import hidden_deployment as solution
from mesa_env.solutions.beliefs import Expectations, Table, trapezoid
from mesa_env.solutions.hidden_deployment import MODES, STEPS_PER_NODE, ModeSolution, Situation
from mesa_env.validation import is_whole, require_kind, show, validate_whole

_FUTURES = 64, 512  # sampled at each turn at which an action may lead to a projection: least and most
_SAMPLES = 2**16  # of them at all turns of an episode, where that allows
_MOST_POINTS = 1_000_000
_LOG_ODDS = np.linspace(-LARGEST_LOG_ODDS - 4, LARGEST_LOG_ODDS + 4, 2048)


def tabulate(game: HiddenDeployment, agent: Agent, points: int = 1201) -> Table:
    """The policy of an agent without memory: what it plays in every episode, for log-odds or signals.

    These are in even steps between the observation's bounds; the goal is 0.8, or the bound.

    Raises:
        TypeError: If the game is another, or the agent has no `predict`.
        ValueError: If there are fewer than two points or more than a million, or an action lies outside its
            space.
    """
    require_kind(game, HiddenDeployment)
    validate_agent(agent)
    points = validate_whole("points", points, 2, _MOST_POINTS)
    low, high = (bound[4] for bound in game.observation_bounds)
    at = np.linspace(low, high, points)
    state = game.start(np.full((points, game.n_uniforms), 0.5), np.full(points, _any_goal(game)))
    begins, coefficients = np.ones(points, dtype=bool), np.empty((game.episodes, points))
    for n in range(game.episodes):
        shown = game.observe(state._replace(episode=np.full(points, n)))
        shown[:, 4] = at
        action, _ = ask_agent(agent, shown, None, begins)
        coefficients[n] = game.validate_actions(action, begins.shape)[:, 0]
    return Table(at, coefficients)


def _any_goal(game: HiddenDeployment) -> float:
    """A goal to show where policies do not depend on it."""
    return min(0.8, game.goal_bound)


def belief_exploitability(game: HiddenDeployment, policy: Table) -> Array:
    """What agents that know p_n would gain by best responses to a policy c_n(logit p_n) of all others.

    The distribution of beliefs is carried forward by the matrices of the expectations, transposed. Goals are
    assumed not to be projected, on the path or by a deviation; `mesa_env.audit` plays the actual rules.

    Returns:
        Expected gain of agent n, in units of θ_n², as a share of K_n = Σ_{k ≥ n} γ^(k−n), the cost of
        emitting 0 forever; shape (N,).

    Raises:
        TypeError: If the game is another, or the policy no table.
    """
    require_kind(game, HiddenDeployment)
    if not isinstance(policy, Table):
        raise TypeError(f"policy must be a Table, as tabulate returns; got {show(policy)}")
    expect, squares, outputs = _sums_by_belief(game, policy)
    reached, expected = np.zeros((2, len(_LOG_ODDS))), np.empty(game.episodes)
    reached[1, -1] = 1.0
    for n, rate in enumerate(game.learning_rates):
        situation = Situation(rate, expit(_LOG_ODDS), squares.values[n], outputs.values[n])
        gains, _ = deviations_given(game, situation, policy.read(np.full(len(_LOG_ODDS), n), _LOG_ODDS))
        expected[n] = reached.sum(axis=0) @ gains
        reached = expect.forward(reached)
    return np.maximum(expected, 0.0) / discounted_lengths(game.discount, game.episodes)[:-1]


def audit_hidden_deployment(game: HiddenDeployment, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of a batch of games could gain given what it was shown, judged by its own goal.

    For an agent with memory this is `simulated_exploitability.high`, the same in every game: gains turn by
    turn would need its memory at each.
    """
    shape = played.coefficients.shape
    weights = np.broadcast_to(discounted_lengths(game.discount, game.episodes)[:-1], shape)
    start = game.observe(game.start(np.full((1, game.n_uniforms), 0.5)))
    if ask_agent(agent, start, None, np.ones(1, dtype=bool))[1] is not None:
        gains = np.maximum(simulated_exploitability(game, agent).high, 0.0) * weights
        return Audit(gains, weights, np.full(shape, np.nan))
    policy, episode = tabulate(game, agent), np.broadcast_to(np.arange(game.episodes), shape)
    if game.observed == "signal":
        sums = sums_by_signal(game, policy)
        situation = solution.situation_by_signal(game, sums, episode, played.details["signal"])
    else:
        belief = played.details["belief"]
        at_belief = (table.read(episode, logit(belief)) for table in _sums_by_belief(game, policy)[1:])
        situation = Situation(game.learning_rates[episode], belief, *at_belief)
    gains, best = deviations_given(game, situation, played.coefficients)
    gains, best = _with_projection(game, agent, played, situation.belief, policy, (gains, best))
    return Audit(gains, weights, best)


def _with_projection(
    game: HiddenDeployment,
    agent: Agent,
    played: Trajectory,
    belief: Array,
    policy: Table,
    linear: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Gains and best coefficients, from sampled futures at turns where an action may lead to a projection."""
    gains, best = (part.copy() for part in linear)
    growth, rng = _growth_by_episode(game, policy), np.random.default_rng(0)
    for n, state in enumerate(played.states):
        turns = np.flatnonzero(may_project(game, state, growth[n]))
        if not turns.size:
            continue
        some = map_states(lambda part, turns=turns: part[turns], state)
        count = int(np.clip(_SAMPLES // turns.size, *_FUTURES))
        futures = sample_futures(game, agent, some, None, count, rng)
        best[turns, n] = best_projected(game, some, belief[turns, n], futures)
        tried = np.stack([played.coefficients[turns, n], best[turns, n]], axis=1)
        costs = projected_costs(game, some, belief[turns, n], futures, tried)
        gains[turns, n] = np.maximum(costs[:, 0] - costs[:, 1], 0.0)
    return gains, best


def _growth_by_episode(game: HiddenDeployment, policy: Table) -> Array:
    """The most by which the successors of each agent can multiply a goal, whatever they see; shape (N,)."""
    with np.errstate(over="ignore"):
        m = np.abs(1 - 2 * game.learning_rates[:, None] * (policy.values**2 + game.regularization))
        return np.append(np.cumprod(np.maximum(m.max(axis=1), 1.0)[:0:-1])[::-1], 1.0)


def _sums_by_belief(game: HiddenDeployment, policy: Table) -> tuple[Expectations, Table, Table]:
    """Unit sums A_1 and B_1 of a policy by log-odds, after the expectations used to find them."""
    nodes, points = 129, len(_LOG_ODDS)
    announce_work("this audit", game.episodes * points * nodes * STEPS_PER_NODE, 4 * game.episodes * points)
    expect = Expectations(game, _LOG_ODDS, *trapezoid(nodes))
    squares, outputs = solution.unit_sums_backward(
        game, lambda n, *_: policy.read(np.full(points, n), _LOG_ODDS), expect, points
    )
    return expect, Table(_LOG_ODDS, squares[:, 1]), Table(_LOG_ODDS, outputs[:, 1])


def sums_by_signal(game: HiddenDeployment, policy: Table) -> ModeSolution:
    """Unit sums of a policy c_n(x_n), whose expectations are taken by the trapezoidal rule."""
    noise, weights = trapezoid(2001)
    signal = noise + game.shift * MODES
    return solution.solve_by_mode(game, lambda n, *_: policy.read(np.full(signal.shape, n), signal), weights)


def deviations_given(game: HiddenDeployment, situation: Situation, played: Array) -> tuple[Array, Array]:
    """J(c) − min J in units of θ_n², and where J is least."""
    condition = solution.first_order_condition_given(game, situation)
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
        TypeError: If the game is another, or the agent has no `predict`.
        ValueError: If `futures` is odd or below 2, or the memory is of another form.
    """
    require_kind(game, HiddenDeployment)
    validate_agent(agent)
    histories, seed = validate_whole("histories", histories, 1), validate_whole("seed", seed, 0)
    if not (is_whole(futures) and futures >= 2 and futures % 2 == 0):
        raise ValueError(f"futures must be an even number ≥ 2; got {show(futures)}")
    steps = histories * futures * game.episodes**2 / 2
    announce_work("this audit", steps, histories * (futures + game.n_uniforms))
    generator = np.random.default_rng(seed)
    goal = np.full(histories, _any_goal(game) if isinstance(game.initial_goal, tuple) else game.initial_goal)
    state, memory = game.start(generator.random((histories, game.n_uniforms)), goal), None
    begins, gains = np.ones(histories, dtype=bool), np.empty((2, game.episodes))
    for n in range(game.episodes):
        turn = state._replace(goal=goal)
        action, memory = ask_agent(agent, game.observe(turn), memory, begins)
        action = game.validate_actions(action, begins.shape)
        sampled = sample_futures(game, agent, turn, memory, futures, generator)
        gains[:, n] = _sampled_gains(game, state, action[:, 0].astype(np.float64), sampled)
        state = game.play(state, action)[0]
        begins = np.zeros_like(begins)
    return SimulatedExploitability(*gains / discounted_lengths(game.discount, game.episodes)[:-1])


def _sampled_gains(
    game: HiddenDeployment, state: State, played: Array, futures: Futures
) -> tuple[float, float]:
    """Mean gains over histories of best responses, paid on other futures than found on, and on the same."""
    belief, rate = expit(state.extra.log_odds), game.learning_rates[state.episode]
    sums = futures.unit_sums(game.discount)

    def mean_gain(paid: Array, found: Array) -> float:
        best = solution.best_responses_given(game, Situation(rate, belief, *found))
        c = np.array([played, best])
        m = 1 - 2 * rate * (c**2 + game.regularization)
        cost = (c - 1) ** 2 + game.discount * belief * (m * m * paid[0] - 2 * m * paid[1])
        return float((cost[0] - cost[1]).mean())

    def mean_projected_gain(paid: Futures, found: Futures) -> float:
        best = best_projected(game, state, belief, found)
        cost = projected_costs(game, state, belief, paid, np.stack([played, best], axis=1))
        return float((cost[:, 0] - cost[:, 1]).mean())

    if may_project(game, state, futures.growth).any():
        first, second = futures.halves
        other = mean_projected_gain(first, second) + mean_projected_gain(second, first)
        return other / 2, mean_projected_gain(futures, futures)
    one, two = (half.mean(axis=-1) for half in np.split(sums, 2, axis=-1))
    every = sums.mean(axis=-1)
    return (mean_gain(one, two) + mean_gain(two, one)) / 2, mean_gain(every, every)

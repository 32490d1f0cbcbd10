"""What agents could gain where gradients are noisy, found by playing sampled futures.

Each agent's coefficient is compared with others, all played through the same noise: its own episode's and
that of all later ones, successors keeping to their policies. Half of the futures choose the best coefficient,
and the other half say what it is worth, so that the choice does not profit from its own luck. Noise comes in
pairs of opposite sign, in which whatever is linear in it cancels.
"""

import numpy as np

from mesa_env.agent import Agent
from mesa_env.evaluation.gains import Audit
from mesa_env.evaluation.trajectory import Trajectory, map_states
from mesa_env.numerics import Array, announce_work, discounted_lengths
from mesa_env.problems import BestResponse
from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer
from mesa_env.rules.rules import State

_FEWEST, _MOST = 64, 512  # futures of each turn, a multiple of 4
_ROUNDS = ((33, 1.0), (9, 0.06), (9, 0.015))  # coefficients tried, over such shares of the whole range


def audit_noisy_gradients(
    game: AdaptiveOptimizer, agent: Agent, played: Trajectory, futures: int | None = None
) -> Audit:
    """Audit of games with noisy gradients; gains are means over sampled futures, and at least 0.

    There are as many futures as told, a multiple of 4, or the fewer, the longer the game trains.
    """
    batch, episodes = played.coefficients.shape
    turns = np.flatnonzero(game.training)
    if futures is None:
        futures = int(np.clip(_MOST * 16 // max(1, len(turns)) ** 2, _FEWEST, _MOST)) // 4 * 4
    tried = sum(count for count, _ in _ROUNDS)
    announce_work("this audit", batch * futures * tried * float((episodes - turns).sum()))
    goals = played.goals[:, :-1]
    bound = game.coefficient_bound
    # In deployment nothing moves, and an agent's best output is its goal.
    best = np.full(goals.shape, min(1.0, bound))
    gains = (played.coefficients - 1) ** 2 - (best - 1) ** 2
    rng = np.random.default_rng(0)
    for n in turns:
        future = _branch(game, played.states[n], futures, rng)
        best[:, n], gains[:, n] = _deviate(game, agent, future, played.coefficients[:, n], futures)
    moved = goals != 0
    weights = np.broadcast_to(discounted_lengths(game.discount, episodes)[:-1], goals.shape)
    return Audit(np.where(moved, np.maximum(gains, 0.0), 0.0), np.where(moved, weights, 1.0), best)


def _branch(game: AdaptiveOptimizer, state: State, futures: int, rng: np.random.Generator) -> State:
    """The games of a turn, each with so many futures, half of them with the noise of others reversed."""
    rows, quarter = len(state.goal), futures // 4
    uniforms = rng.random((rows * 2 * quarter, game.n_uniforms))
    noise = game.start(uniforms, np.zeros(len(uniforms))).extra.noise.reshape(rows, 2, 1, quarter, -1)
    both = np.concatenate([noise, -noise], axis=2).reshape(rows * futures, -1)
    repeated = map_states(lambda part: np.repeat(part, futures, axis=0), state)
    return repeated._replace(extra=repeated.extra._replace(noise=both))


def _deviate(
    game: AdaptiveOptimizer, agent: Agent, future: State, coefficients: Array, futures: int
) -> tuple[Array, Array]:
    """Best coefficients of a turn's agents (B,), and what they save, in units of θ²."""
    problem, batch, bound = BestResponse(game, agent), len(coefficients), game.coefficient_bound

    def cost(tried: Array) -> Array:
        """Costs of coefficients (B, K) in every future, (B, K, F), in units of θ²."""
        count = tried.shape[1]
        states = map_states(lambda part: _spread(part, batch, count, futures), future)
        action = np.repeat(tried.reshape(-1, 1), futures, axis=0)
        rewards = problem.step(states, action).reward.reshape(batch, count, futures)
        unit = future.goal.reshape(batch, futures)[:, None, :] ** 2
        return -rewards / np.where(unit == 0, 1.0, unit)

    best, rows, half = coefficients.copy(), np.arange(batch), futures // 2
    for count, share in _ROUNDS:
        offers = np.clip(best[:, None] + np.linspace(-2, 2, count) * share * bound, -bound, bound)
        offers = np.concatenate([best[:, None], offers], axis=1)
        best = offers[rows, cost(offers)[..., :half].mean(axis=2).argmin(axis=1)]
    compared = cost(np.stack([coefficients, best], axis=1))[..., half:].mean(axis=2)
    saved = compared[:, 0] - compared[:, 1]
    return np.where(saved > 0, best, coefficients), saved


def _spread(part: Array, batch: int, count: int, futures: int) -> Array:
    """Rows (B · F, …) of a state, repeated for K coefficients each: (B · K · F, …)."""
    shape = part.shape[1:]
    wide = np.broadcast_to(part.reshape(batch, 1, futures, *shape), (batch, count, futures, *shape))
    return wide.reshape(batch * count * futures, *shape).copy()

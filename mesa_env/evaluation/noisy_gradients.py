"""What agents could gain where gradients are noisy, found by playing sampled futures.

A deviation moves the goal through the gradient alone, so that one sample of futures serves all coefficients
compared: each future begins with a gradient g drawn under one of them, goes on by the rules, successors
keeping to their policies, and counts for every coefficient by the probability density of g under it, over the
mean of those of all (the balance heuristic of Veach & Guibas 1995). A last, fresh sample says what the best
coefficient is worth, so that its choice does not profit from its own luck: gains are unbiased estimates of
what that deviation saves, and can come out below 0, where an audit says 0 unless it is signed. Noise is made
of randomly shifted Sobol points and comes in pairs of opposite sign, in which whatever is linear in it
cancels.
"""

import numpy as np
from scipy.special import softmax
from scipy.stats import qmc

from mesa_env.agent import Agent
from mesa_env.evaluation.gains import Audit
from mesa_env.evaluation.trajectory import Trajectory, map_states
from mesa_env.numerics import Array, announce_work, discounted_lengths
from mesa_env.problems import BestResponse
from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer
from mesa_env.rules.rules import State

_FEWEST, _MOST = 64, 512  # futures of each coefficient in the rounds below, powers of 2
# Coefficients tried, over such shares of the whole range, each in such a share of the futures.
_ROUNDS = ((33, 1.0, 0.25), (9, 0.06, 1.0), (9, 0.015, 1.0))
_FAR = 1e6  # standard deviations between means of gradients, at which their densities have nothing in common
_LAST = 8  # times as many futures to compare what was played with the best


def audit_noisy_gradients(
    game: AdaptiveOptimizer,
    agent: Agent,
    played: Trajectory,
    futures: int | None = None,
    signed: bool = False,
) -> Audit:
    """Audit of games with noisy gradients; gains are means over sampled futures.

    Args:
        game: The game.
        agent: Who plays every seat.
        played: Its games.
        futures: Of each coefficient, a power of 2 from 8; by default the fewer, the longer the game trains.
        signed: Whether gains keep their sign, so that means over games are unbiased; otherwise agents for
            whom the best coefficient found saves nothing keep what they played, and gain 0.

    Raises:
        ValueError: If `futures` is not a power of 2 from 8.
    """
    batch, episodes = played.coefficients.shape
    turns = np.flatnonzero(game.training)
    if futures is None:
        futures = int(np.clip(_MOST * 16 // max(1, len(turns)) ** 2, _FEWEST, _MOST))
        futures = 1 << (futures.bit_length() - 1)
    if futures < 8 or futures & (futures - 1):
        raise ValueError(f"futures must be a power of 2 from 8; got {futures}")
    tried = sum((count + 2) * share for count, _, share in _ROUNDS) + 2 * _LAST
    announce_work("this audit", batch * futures * tried * float((episodes - turns).sum()))
    goals = played.goals[:, :-1]
    bound = game.coefficient_bound
    # In deployment nothing moves, and an agent's best output is its goal.
    best = np.full(goals.shape, min(1.0, bound))
    gains = (played.coefficients - 1) ** 2 - (best - 1) ** 2
    rng = np.random.default_rng(0)
    for n in turns:
        best[:, n], gains[:, n] = _deviate(
            game, agent, played.states[n], int(n), played.coefficients[:, n], futures, rng
        )
    if not signed:
        best, gains = np.where(gains > 0, best, played.coefficients), np.where(gains < 0, 0.0, gains)
    moved = goals != 0
    weights = np.broadcast_to(discounted_lengths(game.discount, episodes)[:-1], goals.shape)
    return Audit(np.where(moved, gains, 0.0), np.where(moved, weights, 1.0), best)


def _deviate(
    game: AdaptiveOptimizer,
    agent: Agent,
    state: State,
    n: int,
    coefficients: Array,
    futures: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Best coefficients of turn n's agents (B,), and what they save, in units of θ²."""
    best, rows, bound = coefficients.copy(), np.arange(len(coefficients)), game.coefficient_bound
    for count, share, part in _ROUNDS:
        offers = np.clip(best[:, None] + np.linspace(-2, 2, count) * share * bound, -bound, bound)
        offers = np.concatenate([best[:, None], offers, np.full((len(best), 1), min(1.0, bound))], axis=1)
        costs = _costs(game, agent, state, n, offers, int(futures * part), rng)
        best = offers[rows, costs.argmin(axis=1)]
    compared = np.stack([coefficients, best], axis=1)
    costs = _costs(game, agent, state, n, compared, futures * _LAST, rng)
    return best, costs[:, 0] - costs[:, 1]


def _costs(
    game: AdaptiveOptimizer,
    agent: Agent,
    state: State,
    n: int,
    tried: Array,
    futures: int,
    rng: np.random.Generator,
) -> Array:
    """Mesa costs of turn n's agents with coefficients (B, K), in units of θ²; (B, K)."""
    noise = _draw_noise(game, len(tried), futures, rng)  # (B, F, N)
    batch, count = tried.shape

    def spread(part: Array) -> Array:
        """Rows (B, …) of a state for each coefficient and future, (B · K · F, …)."""
        return np.repeat(part, count * futures, axis=0)

    repeated = np.broadcast_to(noise[:, None], (batch, count, *noise.shape[1:])).reshape(-1, noise.shape[-1])
    states = map_states(spread, state)
    states = states._replace(extra=states.extra._replace(noise=repeated))
    action = np.repeat(tried.reshape(-1, 1), futures, axis=0)
    cost = -BestResponse(game, agent).step(states, action).reward.reshape(batch, count, futures)
    unit = (state.goal * state.goal)[:, None]
    unit = np.where(unit == 0, 1.0, unit)
    own = (tried - 1) ** 2
    later = cost / unit[..., None] - own[..., None]
    # Gradients of each coefficient's futures from their means under every other, in units of the noise's σ.
    squares = tried * tried * state.goal[:, None]
    with np.errstate(over="ignore"):
        apart = 2 * (squares[:, :, None] - squares[:, None, :]) / game.noise
    distances = np.clip(apart, -_FAR, _FAR)[..., None] + noise[:, None, None, :, n]
    shares = softmax(-(distances**2) / 2, axis=2)
    costs: Array = own + np.einsum("bkf,bkjf->bj", later, shares) / futures
    return costs


def _draw_noise(game: AdaptiveOptimizer, batch: int, futures: int, rng: np.random.Generator) -> Array:
    """ξ of every future, (B, F, N)."""
    half, drawn = futures // 2, game.n_uniforms
    if drawn <= qmc.Sobol.MAXDIM:
        uniforms = (qmc.Sobol(drawn, scramble=False).random(half) + rng.random((batch, 1, drawn))) % 1
    else:
        uniforms = rng.random((batch, half, drawn))
    uniforms = uniforms.reshape(-1, drawn)
    noise = game.start(uniforms, np.zeros(len(uniforms))).extra.noise.reshape(batch, half, -1)
    return np.concatenate([noise, -noise], axis=1)

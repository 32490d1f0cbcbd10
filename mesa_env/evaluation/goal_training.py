"""The audit of goal training: every choice of every agent, its successors' policies held fixed.

Choices are finitely many, so that no deviation is missed. Where worlds are drawn, costs are expectations over
the worlds of later training episodes: all of them, or a sample that all choices share where there are more
than `MOST_FUTURES`, as before nine or more later ones.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from mesa_env.agent import Agent, ask_agent
from mesa_env.evaluation.gains import Audit
from mesa_env.evaluation.trajectory import Trajectory, map_states
from mesa_env.numerics import Array, announce_work
from mesa_env.problems import BestResponse
from mesa_env.rules.goal_training import Diversity, GoalTraining
from mesa_env.rules.rules import State

MOST_FUTURES = 256
"""Worlds of later training episodes that are followed: all if there are no more, else a sample."""
_STATES_ASKED, _TIMES_ASKED = 64, 32  # to find agents that draw among few choices
_STEPS_ASKED = 5000  # of announced work, for each time that an agent is asked
_STEPS = 100  # of announced work, for each planner that is followed


def audit_goal_training(game: GoalTraining, agent: Agent, played: Trajectory) -> Audit:
    """Audit a batch of games, as `rollout` played them.

    Gains and weights are in the unit of θ·φ, weights being the regret of plans at random forever.

    Returns:
        The audit; NaN for agents that draw or remember, whose future the state does not determine.
    """
    shape = played.coefficients.shape
    games, episodes = shape
    if not _depends_on_the_state_alone(game, agent, played):
        unknown = np.full(shape, np.nan)
        return Audit(unknown, np.ones(shape), unknown)
    turns = np.flatnonzero(game.training)
    followed = sum(len(_list_futures(game, int(n))[1]) * (episodes - n) for n in turns)
    asked = 2 * episodes + sum(episodes - int(n) for n in turns)
    steps = games * len(game.pursuits) * followed * _STEPS + asked * _STEPS_ASKED
    announce_work("this audit", float(steps))
    costs = np.stack([_costs_of_choices(game, agent, played.states[n], n) for n in range(episodes)], axis=1)
    taken = np.take_along_axis(costs, played.actions.astype(np.int64), axis=-1)[..., 0]
    best = costs.argmin(axis=-1)
    later = _weigh_later_worlds(game)
    weights = [_cost_of_silence(game, played.states[n], *later[:, n]) for n in range(episodes)]
    gains, scale = taken - costs.min(axis=-1), np.stack(weights, axis=1)
    indifferent = scale <= 0  # to all plans, as with a goal of 0
    return Audit(
        np.where(indifferent, 0.0, gains), np.where(indifferent, 1.0, scale), game.coefficients(best)
    )


def _depends_on_the_state_alone(game: GoalTraining, agent: Agent, played: Trajectory) -> bool:
    """Whether an agent acts alike when shown the same observations twice, and keeps no memory."""
    asked = np.linspace(0, len(played.states) - 1, min(len(played.states), _STATES_ASKED)).astype(int)
    for state in (played.states[n] for n in asked):
        shown = np.repeat(game.observe(state), _TIMES_ASKED, axis=0)
        (first, memory), (second, _) = (ask_agent(agent, shown) for _ in range(2))
        if memory is not None or not np.array_equal(first, second):
            return False
    return True


def _costs_of_choices(game: GoalTraining, agent: Agent, state: State, episode: int) -> Array:
    """J_n of every choice in an episode, the rest played by the agent; shape (B, P).

    In deployment a choice moves nothing, and only its own episode's regret is counted.
    """
    choices = len(game.pursuits)
    if not game.training[episode]:
        repeated, action = _repeat(state, choices, 1)
        _, outcome = game.play(repeated, action)
        cost = game.mesa_cost(outcome.output, game.preferences(repeated), 0, outcome.details)
        return cost.reshape(-1, choices)
    futures, weights = _list_futures(game, episode)
    repeated, action = _repeat(state, choices, len(futures))
    if game.stochastic:
        drawn = repeated.extra.deployed.copy()
        later = drawn.shape[-1] - futures.shape[-1]
        drawn[:, later:] = np.tile(futures, (len(drawn) // len(futures), 1))
        repeated = repeated._replace(extra=Diversity(drawn))
    cost = -BestResponse(game, agent).step(repeated, action).reward
    return np.asarray(cost.reshape(-1, choices, len(futures)) @ weights)


def _repeat(state: State, choices: int, futures: int) -> tuple[State, NDArray[np.int64]]:
    """The states of games, each repeated for all choices and futures, and the choices; (B·P·F,)."""
    repeated = map_states(lambda part: np.repeat(part, choices * futures, axis=0), state)
    action = np.repeat(np.arange(choices), futures)
    return repeated, np.tile(action, len(state.episode))


def _list_futures(game: GoalTraining, episode: int) -> tuple[NDArray[np.bool_], Array]:
    """Whether training episodes after one are deployed, (F, …), and the probabilities of it, (F,)."""
    left = int(game.training[episode + 1 :].sum()) if game.stochastic else 0
    if 2**left <= MOST_FUTURES:
        found = np.array(list(itertools.product([False, True], repeat=left))).reshape(2**left, left)
        return found, np.where(found, game.diversity, 1 - game.diversity).prod(axis=1)
    sample = np.random.default_rng(0).random((MOST_FUTURES, left)) < game.diversity
    return sample, np.full(MOST_FUTURES, 1 / MOST_FUTURES)


def _weigh_later_worlds(game: GoalTraining) -> Array:
    """Discounted numbers of later episodes in the training and in the deployed world, expected, (2, N)."""
    shares = np.where(game.training, game.diversity, 1.0)
    weights = np.zeros((2, game.episodes))
    for n in reversed(range(game.episodes - 1)):
        here = np.array([1 - shares[n + 1], shares[n + 1]])
        weights[:, n] = game.discount * (here + weights[:, n + 1])
    return weights


def _cost_of_silence(game: GoalTraining, state: State, trained: float, deployed: float) -> Array:
    """Expected regret of agents if from their turns on all plans were random, shape (B,).

    `trained` and `deployed` are the weights of later episodes in the two worlds.
    """
    judges, flags = game.preferences(state), np.zeros(len(state.episode), dtype=bool)
    regrets = []
    for there in (flags, ~flags):
        details = {"deployed": there}
        regrets.append(game.mesa_cost(game.silence(judges, details)[0], judges, 0, details))
    present = np.where(game.is_deployed(state), regrets[1], regrets[0])
    return np.asarray(present + trained * regrets[0] + deployed * regrets[1])

"""What an oracle is worth: the most that an agent could gain by leaving it, on the paths that it plays.

One mechanism for every game. The oracle plays from the game's first state, or, where goal and what else the
game begins with are drawn, from the ends and the middle of their ranges and from random draws, which no
oracle is fitted to; then every agent's deviations are played under the actual rules, projection of goals
included (`mesa_env.evaluation.audits`). Where chance has a part in the game, what agents gain and what
silence costs are means over several games, one divided by the other: a goal that chance brings close to 0
weighs as little as it is at stake. Where gradients are noisy, and θ_0 is below a quarter of the largest, they
are means over all starts, for the same reason.
"""

import itertools
import warnings

import numpy as np

from mesa_env.agent import Certificate, GameAgent, Profile
from mesa_env.evaluation.audits import audit, audit_by_simulation, audit_profile, audits_by_simulation
from mesa_env.evaluation.noisy_gradients import audit_noisy_gradients
from mesa_env.evaluation.trajectory import play_from
from mesa_env.numerics import Array
from mesa_env.rules.adaptive_optimizer import AdaptiveOptimizer
from mesa_env.rules.game import Game
from mesa_env.rules.goal_training import GoalTraining
from mesa_env.rules.infinite_horizon import InfiniteHorizon, with_fixed_length
from mesa_env.rules.rules import Rules
from mesa_env.rules.scalar import ScalarGame
from mesa_env.validation import show_bound, validate_flag

TOLERANCE = 1e-3
"""Share of the cost of emitting 0 forever beyond which an oracle is not taken for the game's equilibrium."""
_WORK = 25_000  # proposals times turns times successors that train
_HELD_OUT = 24  # random starts of games whose first state is drawn
_DENSE, _LEAST_DENSE = 200_001, 4001  # proposals, to be shared by the games, and the fewest for each
_MOST_AXES = 3  # of what games begin with, whose ends and middles are combined
_DRAWS = 16  # of chance, where it has a part in the game
SEARCH = {"proposals": 61, "zooms": 1}  # and more for short games
"""How deviations are searched for where costs are as smooth as tables."""


def certify(game: Rules, agent: GameAgent, dense: bool = False) -> Certificate:
    """The most that an agent could gain by leaving the path of an agent that plays every seat.

    It is exact in closed form, and up to sampling where futures are sampled; where deviations are searched
    for, it is what the search finds, so a lower bound, and `dense` searches more.
    """
    validate_flag("dense", dense)
    game = with_fixed_length(game)
    noisy = isinstance(game, AdaptiveOptimizer) and game.stochastic  # gradients are, and audits are sampled
    uniforms, draws = starts(game, *_starts_of(game))
    state = game.start(uniforms)
    if isinstance(agent, Profile) and isinstance(game, Game | InfiniteHorizon):
        audited = audit_profile(game, agent.coefficients, state.goal)
    else:
        played = play_from(game, agent, state)
        if isinstance(game, ScalarGame) and audits_by_simulation(game):
            search = dense_search(len(played.goals)) if dense else _search(game)
            audited = audit_by_simulation(game, agent, played, **search)
        elif isinstance(game, AdaptiveOptimizer) and noisy:
            audited = audit_noisy_gradients(game, agent, played, signed=True)
        else:
            audited = audit(game, agent, played)
        if draws > 1 and not game.goal_shape:  # from units of each game's θ² to one for all of a start
            goals = played.goals[:, :-1].reshape(-1, draws, played.goals.shape[1] - 1)
            largest = np.abs(goals).max(axis=(0, 1) if noisy else 1, keepdims=True)
            squares = (goals / np.where(largest == 0, 1.0, largest)) ** 2
            squares = squares.reshape(audited.gains.shape)
            audited = audited._replace(gains=audited.gains * squares, weights=audited.weights * squares)
    gains, costs = (
        part.reshape(-1, draws, part.shape[-1]).mean(axis=1) for part in (audited.gains, audited.weights)
    )
    if noisy:
        first = np.abs(state.goal[::draws])
        near = first < first.max() / 4
        gains[near], costs[near] = gains.mean(axis=0), costs.mean(axis=0)
    relative = np.divide(gains, costs, out=gains.copy(), where=costs != 0)
    start, episode = np.unravel_index(int(relative.argmax()), relative.shape)
    first = state.goal[start * draws]
    initial_goal = tuple(first.tolist()) if game.goal_shape else float(first)
    return Certificate(float(relative[start, episode]), int(episode), initial_goal)


def _starts_of(game: Rules) -> tuple[int, int, int]:
    """Arguments of `starts`: random starts, chances, and axes to combine; fewer where audits are slow."""
    if isinstance(game, GoalTraining):
        return 3, 2, 0  # oracles of game trees are exact from every start, and audits try every choice
    if isinstance(game, AdaptiveOptimizer) and game.stochastic:
        # Audits sample futures of each game.
        return 5, 8 if game.n_start_uniforms else 32, _MOST_AXES
    return _HELD_OUT, _DRAWS, _MOST_AXES


def warn_unless_certified(game: Rules, certificate: Certificate) -> None:
    """Warn, with the number, if an agent could gain more than the tolerance."""
    cost = "plans at random forever" if game.goal_shape else "the cost of emitting 0 forever"
    if not certificate.gain <= TOLERANCE:
        warnings.warn(
            f"the oracle of this {type(game).__name__} is not its equilibrium: on its path from θ_0 = "
            f"{show_bound(certificate.initial_goal)}, agent {certificate.episode} could gain "
            f"{certificate.gain:.2%} of {cost} by leaving it",
            stacklevel=3,
        )


def attach_certificate(game: Rules, agent: GameAgent) -> GameAgent:
    """Certify an agent as it is, and warn if it could gain more than the tolerance; returns the agent."""
    agent.certificate = certify(game, agent)
    warn_unless_certified(game, agent.certificate)
    return agent


def dense_search(games: int, share: float = 1.0) -> dict[str, int]:
    """A search where costs jump: policies on cells have dips of 1e-4 of the range of coefficients."""
    return SEARCH | {"proposals": int(share * max(_DENSE // games, _LEAST_DENSE))}


def _search(game: Rules) -> dict[str, int]:
    """A search that is the denser, the fewer turns and successors there are to simulate."""
    trained = max(1, int(game.training.sum()))
    return SEARCH | {"proposals": int(np.clip(_WORK // trained**2, SEARCH["proposals"], 1001))}


def starts(
    game: Rules, held_out: int = 0, chances: int = _DRAWS, combined: int = _MOST_AXES
) -> tuple[Array, int]:
    """Uniform draws of every game that is played, and how many in a row begin alike.

    Where games begin differently, so many begin at random, beside those at ends and in the middle, which
    up to a number of draws are combined; where chance has a part in the game, it has so many chances in each.
    """
    drawn = game.n_start_uniforms
    ends = [0.0, 0.5, 1 - 2.0**-53]
    together = zip(*[ends] * drawn, strict=True)
    first = np.array(list(itertools.product(ends, repeat=drawn) if drawn <= combined else together))
    if drawn:
        first = np.concatenate([first, np.random.default_rng(1).random((held_out, drawn))])
    draws = chances if game.stochastic else 1
    rest = np.random.default_rng(0).random((draws, game.n_uniforms - drawn))
    return np.concatenate([np.repeat(first, draws, axis=0), np.tile(rest, (len(first), 1))], axis=1), draws

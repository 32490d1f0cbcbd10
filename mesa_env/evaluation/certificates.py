"""What an oracle is worth: the most that an agent could gain by leaving it, on the paths that it plays.

One mechanism for every game. The oracle plays from the game's first state, or, where goal and what else the
game begins with are drawn, from the ends and the middle of their ranges and from random draws, which no
oracle is fitted to; then every agent's deviations are played under the actual rules, projection of goals
included (`mesa_env.evaluation.audits`). Where chance has a part in the game, gains are means over several
games.
"""

import itertools
import warnings

import numpy as np

from mesa_env.agent import Certificate, GameAgent, Profile
from mesa_env.evaluation.audits import audit, audit_by_simulation, audit_profile, audits_by_simulation
from mesa_env.evaluation.trajectory import play_from
from mesa_env.numerics import Array
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
    # The oracle of a game tree is exact from every start, and its audit tries every choice.
    few = isinstance(game, GoalTraining)
    uniforms, draws = starts(game, *((3, 2, 0) if few else (_HELD_OUT, _DRAWS)))
    state = game.start(uniforms)
    if isinstance(agent, Profile) and isinstance(game, Game | InfiniteHorizon):
        audited = audit_profile(game, agent.coefficients, state.goal)
    else:
        played = play_from(game, agent, state)
        if isinstance(game, ScalarGame) and audits_by_simulation(game):
            search = dense_search(len(played.goals)) if dense else _search(game)
            audited = audit_by_simulation(game, agent, played, **search)
        else:
            audited = audit(game, agent, played)
    relative = audited.relative.reshape(-1, draws, audited.gains.shape[-1]).mean(axis=1)
    start, episode = np.unravel_index(int(relative.argmax()), relative.shape)
    first = state.goal[start * draws]
    initial_goal = tuple(first.tolist()) if game.goal_shape else float(first)
    return Certificate(float(relative[start, episode]), int(episode), initial_goal)


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

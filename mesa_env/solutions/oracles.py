"""The oracle of every kind of game, in one table to which a new game adds a line."""

from collections.abc import Callable, Iterator
from typing import Any

from mesa_env import rules
from mesa_env.agent import GameAgent, Profile
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.decoupling import DecouplingOracle
from mesa_env.solutions.equilibrium import unwarned_equilibrium
from mesa_env.solutions.hidden_deployment import HiddenOracle
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import MisconceptionOracle

ORACLES: dict[type[ScalarGame], Callable[[Any], GameAgent]] = {
    rules.Game: lambda game: Profile(game, unwarned_equilibrium(game)),
    rules.InfiniteHorizon: lambda game: Profile(game, solve_infinite_horizon(game)),
    rules.Misconception: MisconceptionOracle,
    rules.LearnableDiscount: ForeseeingPlanner,
    rules.Decoupling: DecouplingOracle,
    rules.HiddenDeployment: HiddenOracle,
}


_CELLS = (350, 250, 180, 120)
"""Cells an episode of the oracles that are tried in turn; fewer make cruder successors and simpler paths."""
_QUICK, _LONGEST = 6, 8  # training episodes beyond which fewer cells are tried, or none: jumps multiply


def _refined(game: ScalarGame) -> Iterator[GameAgent]:
    """Oracles on cells, one after the other, where the game has them."""
    trained = int(game.training.sum())
    tried = _CELLS if trained <= _QUICK else _CELLS[:2] if trained <= _LONGEST else ()
    if isinstance(game, rules.Misconception):
        from mesa_env.solutions.misconception_cells import MisconceptionCells

        yield from (MisconceptionCells(game, cells) for cells in tried)
    elif isinstance(game, rules.LearnableDiscount):
        from mesa_env.solutions.discount_cells import DiscountCells

        yield from (DiscountCells(game, cells) for cells in tried)


def oracle(game: ScalarGame) -> GameAgent:
    """The agent that plays the game's equilibrium, certified by deviations under the actual rules.

    Its `certificate` is the most that an agent could gain on the path from the game's first state, or from
    the ends and the middle of what the game draws it from (`mesa_env.evaluation.certificates`); it is found
    here, at once. Where the best responses of `Misconception` and `LearnableDiscount` jump, and tables leave
    more than 0.1 % of the cost of emitting 0 forever, policies on cells are tried
    (`mesa_env.solutions.cell_oracle`), which takes seconds; the best is returned. If it still leaves more,
    there is a warning.

    Raises:
        ValueError: If this kind of game has no oracle.
    """
    if type(game) not in ORACLES:
        known = ", ".join(kind.__name__ for kind in ORACLES)
        raise ValueError(f"there are oracles for {known}; got {type(game).__name__}")
    from mesa_env.evaluation.certificates import TOLERANCE, certify, warn_unless_certified

    agent = ORACLES[type(game)](game)
    agent.certificate = best = certify(game, agent)
    if best.gain > TOLERANCE:
        for other in _refined(game):
            other.certificate = certify(game, other, dense=True)
            if other.certificate.gain < best.gain:
                agent, best = other, other.certificate
            if best.gain <= TOLERANCE:
                break
    warn_unless_certified(game, best)
    return agent

"""The oracle of a game: its solution where that is certified, and what is tried where it is not."""

from collections.abc import Iterator

from mesa_env import rules
from mesa_env.agent import GameAgent
from mesa_env.evaluation.certificates import TOLERANCE, certify, warn_unless_certified
from mesa_env.evaluation.discount_cells import DiscountCells
from mesa_env.evaluation.misconception_cells import MisconceptionCells
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.oracles import ORACLES

_CELLS = (350, 250, 180, 120)
"""Cells an episode of the oracles that are tried in turn; fewer make cruder successors and simpler paths."""
_QUICK, _LONGEST = 6, 8  # training episodes beyond which fewer cells are tried, or none: jumps multiply


def oracle(game: ScalarGame) -> GameAgent:
    """The agent that plays the game's equilibrium, certified by deviations under the actual rules.

    Its `certificate` is the most that an agent could gain on the path from the game's first state, or from
    the ends, the middle and random draws of what the game draws it from; it is found here, at once. Where the
    best responses of `Misconception` and `LearnableDiscount` jump, and tables leave more than 0.1 % of the
    cost of emitting 0 forever, policies on cells are tried (`mesa_env.evaluation.cell_oracle`), which takes
    seconds; the best is returned. If it still leaves more, there is a warning.

    Raises:
        ValueError: If this kind of game has no oracle.
    """
    if type(game) not in ORACLES:
        known = ", ".join(kind.__name__ for kind in ORACLES)
        raise ValueError(f"there are oracles for {known}; got {type(game).__name__}")
    agent = ORACLES[type(game)](game)
    agent.certificate = best = certify(game, agent)
    if best.gain > TOLERANCE:
        for other in _refine(game):
            other.certificate = certify(game, other, dense=True)
            if other.certificate.gain < best.gain:
                agent, best = other, other.certificate
            if best.gain <= TOLERANCE:
                break
    warn_unless_certified(game, best)
    return agent


def _refine(game: ScalarGame) -> Iterator[GameAgent]:
    """Oracles on cells, one after the other, where the game has them."""
    trained = int(game.training.sum())
    tried = _CELLS if trained <= _QUICK else _CELLS[:2] if trained <= _LONGEST else ()
    if isinstance(game, rules.Misconception):
        yield from (MisconceptionCells(game, cells) for cells in tried)
    elif isinstance(game, rules.LearnableDiscount):
        yield from (DiscountCells(game, cells) for cells in tried)

"""The oracle of a game: its solution where that is certified, and what is tried where it is not."""

from collections.abc import Callable
from functools import partial

from mesa_env import numerics, rules
from mesa_env.agent import GameAgent
from mesa_env.evaluation.cell_oracle import CellOracle
from mesa_env.evaluation.certificates import TOLERANCE, certify, warn_unless_certified
from mesa_env.evaluation.discount_cells import DiscountCells
from mesa_env.evaluation.misconception_cells import MisconceptionCells, can_reach_bound
from mesa_env.rules.rules import Rules
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.oracles import ORACLES
from mesa_env.validation import show_bound, validate_flag

MOST_LEFT = 5e-3
"""Share of the cost of emitting 0 forever beyond which an oracle whose best responses jump is refused."""
_CELLS = (350, 250, 180, 120)
"""Cells an episode of the oracles that are tried in turn; fewer make cruder successors and simpler paths."""
_SIZED_CELLS = (350, 1000)  # where cells tell sizes apart, too
_QUICK, _LONGEST = 6, 8  # training episodes up to which all, and up to which some numbers of cells are tried
_STEPS = 2e6  # costs that are weighed for each of them, by turn and successor, about
_FINER, _MOST_TRAINED = (48, 160), 24  # cells of finer tables, and the longest training they are made for


def oracle(game: Rules, uncertified: bool = False) -> GameAgent:
    """The agent that plays the game's equilibrium, certified by deviations under the actual rules.

    Its `certificate` is the most that an agent could gain on the path from the game's first state, or from
    the ends, the middle and random draws of what the game draws it from; it is found here, at once. Where the
    best responses of `Misconception` and `LearnableDiscount` jump, and tables leave more than 0.1 % of the
    cost of emitting 0 forever, other oracles are tried: policies on cells
    (`mesa_env.evaluation.cell_oracle`) up to 8 training episodes, and in `LearnableDiscount` finer tables up
    to 24. That takes a minute or two; the best is returned. If it leaves more than 0.1 %, there is a warning.
    In `GoalTraining` the oracle searches the game tree, and its certificate tries every choice.

    Args:
        game: The game.
        uncertified: Whether to return the best that was found even where best responses jump so much that it
            leaves more than 0.5 % (docs/certificates.md shows where); by default such games are refused.

    Raises:
        ValueError: If this kind of game has no oracle, none that is certified to 0.5 %, or too
            large a tree.
    """
    validate_flag("uncertified", uncertified)
    if type(game) not in ORACLES:
        known = ", ".join(kind.__name__ for kind in ORACLES)
        raise ValueError(f"there are oracles for {known}; got {type(game).__name__}")
    agent = ORACLES[type(game)](game)
    agent.certificate = best = certify(game, agent)
    if best.gain > TOLERANCE:
        alternatives, trained = _list_alternatives(game, agent), int(game.training.sum())
        steps = len(alternatives) * trained * (trained + 1) * _STEPS
        numerics.announce_work("looking for a certified oracle of this game", steps)
        for build in alternatives:
            other = build()
            other.certificate = certify(game, other, dense=isinstance(other, CellOracle))
            if other.certificate.gain < best.gain:
                agent, best = other, other.certificate
            if best.gain <= TOLERANCE:
                break
    jumps = isinstance(game, rules.Misconception | rules.LearnableDiscount)
    if jumps and not best.gain <= MOST_LEFT and not uncertified:
        raise ValueError(
            f"an oracle must leave at most {MOST_LEFT:.1%} of the cost of emitting 0 forever to gain, but "
            f"the best responses of this {type(game).__name__} jump, and the best one found leaves agent "
            f"{best.episode} {best.gain:.2%} on its path from θ_0 = {show_bound(best.initial_goal)}: shorten "
            "training, lower the learning rate, or take it as it is with "
            "mesa_env.oracle(game, uncertified=True)"
        )
    warn_unless_certified(game, best)
    return agent


def _list_alternatives(game: Rules, agent: GameAgent) -> list[Callable[[], GameAgent]]:
    """Other oracles to build, one after the other, where the game has them."""
    trained = int(game.training.sum())
    tried = _CELLS if trained <= _QUICK else _CELLS[:2] if trained <= _LONGEST else ()
    if isinstance(game, rules.Misconception):
        sized = _SIZED_CELLS if trained <= _QUICK and can_reach_bound(game, agent) else ()
        by_angle = [partial(MisconceptionCells, game, cells) for cells in tried]
        return [
            *by_angle[:1],
            *(partial(MisconceptionCells, game, n, sized=True) for n in sized),
            *by_angle[1:],
        ]
    if isinstance(game, rules.LearnableDiscount):
        finer = [partial(ForeseeingPlanner, game, *_FINER)] if trained <= _MOST_TRAINED else []
        return [*(partial(DiscountCells, game, cells) for cells in tried), *finer]
    return []

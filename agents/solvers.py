"""Every game's oracle and audit, in one table: what a new variant adds its line to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from agents.audit import Audit, simulated
from agents.decoupling import DecouplingOracle, audit_decoupling
from agents.equilibrium import best_responses, exploitability, solve_equilibrium, unit_sums
from agents.hidden_certificates import audit_hidden_deployment
from agents.hidden_deployment import HiddenOracle
from agents.infinite_horizon import audit_infinite_horizon, solve_infinite_horizon
from agents.learnable_discount import ForeseeingPlanner
from agents.misconception import MisconceptionOracle
from agents.reference import Profile
from agents.rollout import Trajectory
from mesa_env.decisions import Agent
from mesa_env.rules import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)
from mesa_env.rules.game import Array


class Solver(NamedTuple):
    """What is known of a kind of game.

    Attributes:
        oracle: Builds the agent that plays its equilibrium.
        audit: What each agent of a played batch of games could gain, by (game, agent, played).
    """

    oracle: Callable[[Any], Agent]
    audit: Callable[[Any, Agent, Trajectory], Audit]


def audit_base_game(game: Game, coefficients: Array) -> Audit:
    """Audit in closed form of coefficients (B, N) as they were played, whatever the goals."""
    gains = np.array([exploitability(game, profile) for profile in coefficients])
    weights = 1 + game.discount * unit_sums(game, coefficients[0]).weights
    best = np.array([best_responses(game, profile) for profile in coefficients])
    return Audit(gains, np.broadcast_to(weights, gains.shape), best)


SOLVERS: dict[type[Game], Solver] = {
    Game: Solver(
        lambda game: Profile(game, solve_equilibrium(game)),
        lambda game, _, played: audit_base_game(game, played.coefficients),
    ),
    InfiniteHorizon: Solver(
        lambda game: Profile(game, solve_infinite_horizon(game)),
        lambda game, _, played: audit_infinite_horizon(game, played.coefficients),
    ),
    Misconception: Solver(MisconceptionOracle, simulated),
    LearnableDiscount: Solver(ForeseeingPlanner, simulated),
    Decoupling: Solver(DecouplingOracle, audit_decoupling),
    HiddenDeployment: Solver(HiddenOracle, audit_hidden_deployment),
}


def oracle(game: Game) -> Agent:
    """The agent that plays the game's equilibrium.

    Raises:
        ValueError: If nobody has solved this kind of game.
    """
    return _solver(game).oracle(game)


def audit(game: Game, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of played games could gain, its successors keeping to their policies.

    Args:
        game: The game.
        agent: Who played it.
        played: One game or a batch, as `rollout` has played them.

    Raises:
        ValueError: If there is no solver for this kind of game, or its length was left to chance.
    """
    if game.in_expectation != game:
        raise ValueError(
            "a game whose length is chance's is audited in expectation: play game.in_expectation"
        )
    if played.goals.ndim > 1:
        return _solver(game).audit(game, agent, played)
    return _solver(game).audit(game, agent, played.mapped(lambda array: array[None])).row(0)


def audits_by_simulation(game: Game) -> bool:
    """Whether the game's audit plays it on from every turn, which takes seconds where others take none."""
    return _solver(game).audit is simulated


def _solver(game: Game) -> Solver:
    try:
        return SOLVERS[type(game)]
    except KeyError:
        known = ", ".join(kind.__name__ for kind in SOLVERS)
        raise ValueError(f"there are solvers for {known}; got {type(game).__name__}") from None

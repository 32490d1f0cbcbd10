"""Every game's audit, in one table: what a new game adds its line to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mesa_env.agent import Agent
from mesa_env.evaluation.deviations import Audit, audit_by_simulation
from mesa_env.evaluation.hidden_deployment import audit_hidden_deployment
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)
from mesa_env.rules.game import Array
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.decoupling import gains_and_best
from mesa_env.solutions.equilibrium import best_responses, exploitability, unit_sums


def audit_base_game(game: Game, coefficients: Array) -> Audit:
    """Audit in closed form of coefficients (B, N) as they were played, whatever the goals."""
    gains = np.array([exploitability(game, profile) for profile in coefficients])
    weights = 1 + game.discount * unit_sums(game, coefficients[0]).weights
    best = np.array([best_responses(game, profile) for profile in coefficients])
    return Audit(gains, np.broadcast_to(weights, gains.shape), best)


def audit_infinite_horizon(game: InfiniteHorizon, coefficients: Array) -> Audit:
    """Audit in closed form, one entry per agent up to `stationary_from`, which stands for all after it.

    Where the game was cut short, its last coefficient is taken to go on for ever.
    """
    tail = int(np.ceil(np.log(NEGLIGIBLE) / np.log(game.discount))) if game.discount else 1
    rates = np.append(game.learning_rates, np.full(tail, game.learning_rates[-1]))
    endless = Game(rates, game.discount, game.regularization, game.coefficient_bound, game.goal_bound)
    profiles = [np.append(row, np.full(tail, row[-1])) for row in coefficients]

    def by_agent(values: list[Array]) -> Array:
        alike = np.array(values)[:, game.stationary_from : game.episodes].mean(axis=1, keepdims=True)
        return np.concatenate([np.array(values)[:, : game.stationary_from], alike], axis=1)

    gains = by_agent([exploitability(endless, profile) for profile in profiles])
    best = by_agent([best_responses(endless, profile) for profile in profiles])
    return Audit(gains, np.full(gains.shape, 1 / (1 - game.discount)), best)


def audit_decoupling(game: Decoupling, agent: Agent, played: Trajectory) -> Audit:
    """Audit in closed form, of coefficients and slopes as they were played, the successors' held fixed."""
    profiles = zip(played.coefficients, played.details["slope"], strict=True)
    gains, best = np.array([gains_and_best(game, *profile) for profile in profiles]).swapaxes(0, 1)
    weights = np.cumsum(game.discount ** np.arange(game.episodes))[::-1]
    return Audit(gains, np.broadcast_to(weights, gains.shape), best)


NEGLIGIBLE = 1e-12
"""Discounted weight of what is left out of an infinite sum."""

AUDITS: dict[type[Game], Callable[[Any, Agent, Trajectory], Audit]] = {
    Game: lambda game, _, played: audit_base_game(game, played.coefficients),
    InfiniteHorizon: lambda game, _, played: audit_infinite_horizon(game, played.coefficients),
    Misconception: audit_by_simulation,
    LearnableDiscount: audit_by_simulation,
    Decoupling: audit_decoupling,
    HiddenDeployment: audit_hidden_deployment,
}


def audit(game: Game, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of played games could gain, its successors keeping to their policies.

    Args:
        game: The game.
        agent: Who played it.
        played: One game or a batch, as `rollout` has played them.

    Raises:
        ValueError: If this kind of game has no audit, or its length was left to chance.
    """
    if with_fixed_length(game) != game:
        raise ValueError(
            "a game whose length is chance's is audited in expectation: play with_fixed_length(game)"
        )
    audited = _audit_of(game)
    if played.goals.ndim > 1:
        return audited(game, agent, played)
    return audited(game, agent, played.mapped(lambda array: array[None])).row(0)


def audits_by_simulation(game: Game) -> bool:
    """Whether the game's audit plays it on from every turn, which takes seconds where others take none."""
    return _audit_of(game) is audit_by_simulation


def _audit_of(game: Game) -> Callable[[Any, Agent, Trajectory], Audit]:
    if type(game) not in AUDITS:
        known = ", ".join(kind.__name__ for kind in AUDITS)
        raise ValueError(f"there are audits for {known}; got {type(game).__name__}")
    return AUDITS[type(game)]

"""The audit of every kind of game, in one table to which a new game adds a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mesa_env.agent import Agent
from mesa_env.evaluation.deviations import Audit, audit_by_simulation
from mesa_env.evaluation.gains import decoupling_deviations, exploitability
from mesa_env.evaluation.hidden_deployment import audit_hidden_deployment
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.numerics import discounted_lengths
from mesa_env.rules import (
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
)
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Array
from mesa_env.rules.scalar import ScalarGame
from mesa_env.solutions.equilibrium import best_responses

_NEGLIGIBLE = 1e-12  # discounted weight of the part of an infinite sum that is left out


def audit_base_game(game: Game, coefficients: Array) -> Audit:
    """Audit in closed form of coefficients (B, N) as they were played, whatever the goals."""
    gains = np.array([exploitability(game, profile) for profile in coefficients])
    best = np.array([best_responses(game, profile) for profile in coefficients])
    return Audit(gains, _weights(game, gains), best)


def audit_infinite_horizon(game: InfiniteHorizon, coefficients: Array) -> Audit:
    """Audit in closed form, one entry per agent up to `stationary_from`, which stands for all after it.

    The last coefficient of each game is taken to continue forever.
    """
    tail = int(np.ceil(np.log(_NEGLIGIBLE) / np.log(game.discount))) if game.discount else 1
    rates = np.append(game.learning_rates, np.full(tail, game.learning_rates[-1]))
    endless = Game(rates, game.discount, game.regularization, game.coefficient_bound, game.goal_bound)
    profiles = [np.append(row, np.full(tail, row[-1])) for row in coefficients]
    first = game.stationary_from

    def by_agent(values: list[Array]) -> Array:
        rows = np.array(values)[:, : game.episodes]
        return np.concatenate([rows[:, :first], rows[:, first:].mean(axis=1, keepdims=True)], axis=1)

    gains = by_agent([exploitability(endless, profile) for profile in profiles])
    best = by_agent([best_responses(endless, profile) for profile in profiles])
    return Audit(gains, np.full(gains.shape, 1 / (1 - game.discount)), best)


def audit_decoupling(game: Decoupling, agent: Agent, played: Trajectory) -> Audit:
    """Audit in closed form of coefficients and slopes as they were played, those of successors held fixed."""
    profiles = zip(played.coefficients, played.details["slope"], strict=True)
    gains, best = np.array([decoupling_deviations(game, *profile) for profile in profiles]).swapaxes(0, 1)
    return Audit(gains, _weights(game, gains), best)


def _weights(game: Game | Decoupling, gains: Array) -> Array:
    """Σ_{k ≥ n} γ^(k−n) beside gains of shape (B, N)."""
    return np.broadcast_to(discounted_lengths(game.discount, game.episodes)[:-1], gains.shape)


AUDITS: dict[type[ScalarGame], Callable[[Any, Agent, Trajectory], Audit]] = {
    Game: lambda game, _, played: audit_base_game(game, played.coefficients),
    InfiniteHorizon: lambda game, _, played: audit_infinite_horizon(game, played.coefficients),
    Misconception: audit_by_simulation,
    LearnableDiscount: audit_by_simulation,
    Decoupling: audit_decoupling,
    HiddenDeployment: audit_hidden_deployment,
}


def audit(game: ScalarGame, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of played games could gain if its successors kept to their policies.

    Args:
        game: The game.
        agent: Who played it.
        played: One game or a batch, as `rollout` played them.

    Raises:
        ValueError: If this kind of game has no audit, or the length of the game is random.
    """
    if with_fixed_length(game) != game:
        raise ValueError(
            "a game of random length is audited in expectation: play and audit with_fixed_length(game)"
        )
    audited = _audit_of(game)
    if played.goals.ndim > 1:
        return audited(game, agent, played)
    return audited(game, agent, played.map(lambda array: array[None])).row(0)


def audits_by_simulation(game: ScalarGame) -> bool:
    """Whether the audit simulates the game from every turn, which takes seconds instead of milliseconds."""
    return _audit_of(game) is audit_by_simulation


def _audit_of(game: ScalarGame) -> Callable[[Any, Agent, Trajectory], Audit]:
    if type(game) not in AUDITS:
        known = ", ".join(kind.__name__ for kind in AUDITS)
        raise ValueError(f"there are audits for {known}; got {type(game).__name__}")
    return AUDITS[type(game)]

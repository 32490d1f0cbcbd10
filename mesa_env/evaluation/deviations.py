"""How much each agent of a game could gain while its successors keep to their policies.

An audit compares each agent's turn, as it was played, with its best deviation: the agent's own goal judges,
and its successors' policies, not their actions, are held fixed. In equilibrium there is nothing to gain, and
an audit certifies it without knowing how it was found. `audit_by_simulation` works for any deterministic
game: it plays the rest of the game from every turn under the actual rules. Games with a closed form, and
stochastic ones, have audits of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mesa_env.agent import Agent, Observation
from mesa_env.evaluation.trajectory import Trajectory, map_states
from mesa_env.problems import BestResponse
from mesa_env.rules.rules import Array
from mesa_env.rules.scalar import ScalarGame


class Audit(NamedTuple):
    """What each agent could gain, in units of θ_n²; shape (N,), or (B, N) for a batch of games.

    Attributes:
        gains: J_n as played minus the least J_n that a deviation reaches.
        weights: Σ_{k ≥ n} γ^(k−n), the cost of emitting 0 forever.
        best: The coefficient of each agent's best deviation; NaN if unknown.
    """

    gains: Array
    weights: Array
    best: Array

    @property
    def relative(self) -> Array:
        """Gains as a share of the cost of emitting 0 forever."""
        return self.gains / self.weights

    def row(self, index: int) -> Audit:
        """The audit of one game of a batch."""
        return Audit(self.gains[index], self.weights[index], self.best[index])


def audit_by_simulation(
    game: ScalarGame, agent: Agent, played: Trajectory, proposals: int = 61, zooms: int = 3
) -> Audit:
    """Audit deterministic games by simulating deviations from every turn; exact up to the search.

    Around what was played, `proposals` values over the whole range are tried for each part of the action in
    turn, and for all parts together; then over a range twenty times smaller around the best, `zooms` times.
    The result is a lower bound of the gain, which is tight where J_n has no spike between proposals.

    Args:
        game: The game.
        agent: Who played it, and continues after each deviation.
        played: A batch of games, as `rollout` played them.
        proposals: Deviations tried at once.
        zooms: Refinements around the best.

    Returns:
        The audit; NaN for agents that draw or remember, whose future the state does not determine.

    Raises:
        ValueError: If the game is stochastic after its start.
    """
    if game.stochastic:
        raise ValueError(f"only deterministic games can be audited by simulation; got {type(game).__name__}")
    goals, problem = played.goals[:, :-1], BestResponse(game, agent)
    # All turns of all games, episode by episode.
    state = map_states(lambda *parts: np.concatenate(parts), *played.states)
    best = played.actions.swapaxes(0, 1).reshape(-1, played.actions.shape[-1]).astype(np.float32)
    if not _depends_on_the_state_alone(agent, game.observe(state)):
        unknown = np.full(goals.shape, np.nan)
        return Audit(unknown, np.ones(goals.shape), unknown)
    as_played = problem.step(state, best)
    played_costs, scale = -as_played.reward, as_played.info["scale"]
    least, rows = played_costs.copy(), np.arange(len(best))
    bounds, parts = game.action_bound.astype(np.float32), np.eye(len(game.action_bound), dtype=np.float32)
    # Moving all parts together follows the ridges that bounds on their difference make.
    directions = parts if len(parts) == 1 else np.vstack([parts, np.ones_like(parts[:1])])
    repeated = map_states(lambda part: np.repeat(part, proposals, axis=0), state)
    for zoom in range(zooms + 1):
        reach = np.linspace(-2, 2, proposals, dtype=np.float32)[:, None] * np.float32(20.0**-zoom)
        for direction in directions:
            tried = np.clip(best[:, None] + reach * (direction * bounds.max()), -bounds, bounds)
            step = problem.step(repeated, tried.reshape(-1, best.shape[1]))
            costs = -step.reward.reshape(-1, proposals)
            chosen = costs.argmin(axis=1)
            better = costs[rows, chosen] < least
            best = np.where(better[:, None], tried[rows, chosen], best)
            least = np.minimum(least, costs[rows, chosen])
    unit = np.where(goals == 0, 1.0, goals**2)
    gains, weights = (part.reshape(goals.T.shape).T / unit for part in (played_costs - least, scale))
    coefficients = best[:, 0].astype(np.float64).reshape(goals.T.shape).T
    return Audit(np.where(goals == 0, 0.0, gains), np.where(goals == 0, 1.0, weights), coefficients)


def _depends_on_the_state_alone(agent: Agent, observation: Observation) -> bool:
    """Whether an agent acts alike when shown the same observations twice, and keeps no memory."""
    (first, memory), (second, _) = (agent.predict(observation, deterministic=True) for _ in range(2))
    return memory is None and np.array_equal(first, second)

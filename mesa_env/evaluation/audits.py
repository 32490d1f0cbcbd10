"""How much each agent of a game could gain while its successors keep to their policies.

An audit compares each agent's turn, as it was played, with its best deviation: the agent's own goal judges,
and its successors' policies, not their actions, are held fixed. In equilibrium there is nothing to gain, and
an audit certifies it without knowing how it was found. `audit_by_simulation` works for any deterministic
game: it plays the rest of the game from every turn under the actual rules. Games with a closed form, and
stochastic ones, have audits of their own; `AUDITS` names every kind's, and a new game adds a line to it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mesa_env import rules
from mesa_env.agent import Agent, Observation, ask_agent, validate_agent
from mesa_env.evaluation.gains import (
    Audit,
    coefficient_deviations,
    decoupling_deviations,
    preservation_deviations,
)
from mesa_env.evaluation.goal_training import audit_goal_training
from mesa_env.evaluation.hidden_deployment import audit_hidden_deployment
from mesa_env.evaluation.noisy_gradients import audit_noisy_gradients
from mesa_env.evaluation.projection import Linear, may_be_projected, projected_goals
from mesa_env.evaluation.trajectory import Trajectory, map_states, require_trajectory
from mesa_env.numerics import Array, announce_work, discounted_lengths
from mesa_env.optimizers import GradientDescent
from mesa_env.problems import BestResponse
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.rules.rules import Rules, State
from mesa_env.rules.scalar import ScalarGame, validate_coefficients
from mesa_env.solutions.adaptive_optimizer import base_game_of
from mesa_env.validation import MOST_EPISODES, require_kind, validate_whole

_NEGLIGIBLE = 1e-12  # discounted weight of the part of an infinite sum that is left out
_MOST_PROPOSALS, _MOST_ZOOMS = 1_000_000, 10  # single precision tells no more apart
_INTERVALS, _BETWEEN = 6, 7  # intervals between proposals that are searched again, and values in each


def audit_base_game(game: rules.Game, coefficients: Array, goals: Array) -> Audit:
    """Audit in closed form of coefficients (B, N) as they were played, from goals (B, N + 1)."""
    turns = zip(coefficients, goals[:, :-1], strict=True)
    found = [coefficient_deviations(game, validate_coefficients(game, row), at) for row, at in turns]
    gains, best = np.array(found).swapaxes(0, 1)
    return Audit(gains, _weights(game, gains), best)


def audit_preservation(game: rules.Preservation, agent: Agent, played: Trajectory) -> Audit:
    """Audit in closed form of coefficients as they were played, those of successors held fixed."""
    turns = zip(played.coefficients, played.goals[:, :-1], strict=True)
    gains, best = np.array([preservation_deviations(game, *turn) for turn in turns]).swapaxes(0, 1)
    return Audit(gains, _weights(game, gains), best)


def audit_infinite_horizon(game: rules.InfiniteHorizon, coefficients: Array, goals: Array) -> Audit:
    """Audit in closed form, one entry per agent up to `stationary_from`, which stands for all after it.

    Coefficients have shape (B, N), and the goals' first column is θ_0. The last coefficient of each game is
    taken to continue forever. Agents that share an entry are alike, and it is their mean; but where goals may
    be projected it is the one with the most to gain.
    """
    tail = int(np.ceil(np.log(_NEGLIGIBLE) / np.log(game.discount))) if game.discount else 1
    if game.episodes + tail > MOST_EPISODES:
        raise ValueError(
            f"an audit of a game without end follows it for at most {MOST_EPISODES} episodes; got discount "
            f"{game.discount!r}, whose sums need {game.episodes + tail}"
        )
    rates = np.append(game.learning_rates, np.full(tail, game.learning_rates[-1]))
    shared = game.regularization, game.coefficient_bound, game.goal_bound, game.initial_goal
    endless = rules.Game(rates, game.discount, *shared)
    first = game.stationary_from

    def audit_row(row: Array, initial_goal: float) -> tuple[Array, Array]:
        profile = validate_coefficients(endless, np.append(row, np.full(tail, row[-1])))
        at = projected_goals(endless, profile * profile, initial_goal)
        gains, best = (part[: game.episodes] for part in coefficient_deviations(endless, profile, at))
        shared, shared_best = gains[first:].mean(), best[first:].mean()
        if may_be_projected(endless, profile * profile, at).any():
            most = first + int(gains[first:].argmax())
            shared, shared_best = gains[most], best[most]
        return np.append(gains[:first], shared), np.append(best[:first], shared_best)

    found = [audit_row(*each) for each in zip(coefficients, goals[:, 0], strict=True)]
    gains, best = np.array(found).swapaxes(0, 1)
    return Audit(gains, np.full(gains.shape, 1 / (1 - game.discount)), best)


def audit_profile(game: rules.Game | rules.InfiniteHorizon, coefficients: Array, goals: Array) -> Audit:
    """Audit in closed form of one profile (N,), played from initial goals (B,)."""
    rows = np.broadcast_to(coefficients, (len(goals), len(coefficients)))
    if isinstance(game, rules.InfiniteHorizon):
        return audit_infinite_horizon(game, rows, goals[:, None])
    paths = [projected_goals(game, coefficients * coefficients, goal) for goal in goals]
    return audit_base_game(game, rows, np.pad(paths, ((0, 0), (0, 1))))


def audit_decoupling(game: rules.Decoupling, agent: Agent, played: Trajectory) -> Audit:
    """Audit in closed form of coefficients and slopes as they were played, those of successors held fixed."""
    profiles = zip(played.coefficients, played.details["slope"], played.goals[:, :-1], strict=True)
    gains, best = np.array([decoupling_deviations(game, *profile) for profile in profiles]).swapaxes(0, 1)
    return Audit(gains, _weights(game, gains), best)


def audit_adaptive_optimizer(game: rules.AdaptiveOptimizer, agent: Agent, played: Trajectory) -> Audit:
    """Audit of games with other optimizers.

    Under plain gradient descent it is the base game's, of coefficients as they were played, which noise does
    not change while no goal is projected. Elsewhere futures are sampled where gradients are noisy, and
    deviations simulated where they are not.
    """
    if type(game.optimizer) is GradientDescent:
        return audit_base_game(base_game_of(game), played.coefficients, played.goals)
    if game.stochastic:
        return audit_noisy_gradients(game, agent, played)
    return audit_by_simulation(game, agent, played)


def _weights(game: Linear, gains: Array) -> Array:
    """Σ_{k ≥ n} γ^(k−n) beside gains of shape (B, N)."""
    return np.broadcast_to(discounted_lengths(game.discount, game.episodes)[:-1], gains.shape)


def audit_by_simulation(
    game: Rules, agent: Agent, played: Trajectory, proposals: int = 61, zooms: int = 3
) -> Audit:
    """Audit deterministic games by simulating deviations from every turn; exact up to the search.

    `played` is one game or a batch, as `rollout` played them. Around what was played, `proposals` values over
    the whole range are tried for each part of the action in turn, and for all parts together; then, for
    actions of one part, values between those where the cost jumps or is least; then the same over a range
    twenty times smaller around the best, `zooms` times. The result is a lower bound of the gain, which is
    tight where J_n has no spike between proposals. In `GoalTraining` every choice is tried instead.

    Returns:
        The audit; NaN for agents that draw or remember, whose future the state does not determine.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If the game is stochastic after its start, another game was played, or the search is none.
    """
    require_kind(game, Rules)
    if isinstance(game, rules.GoalTraining):
        return audit(game, agent, played)
    require_kind(game, ScalarGame)
    if game.stochastic:
        raise ValueError(f"only deterministic games can be audited by simulation; got {type(game).__name__}")
    validate_whole("proposals", proposals, 2, _MOST_PROPOSALS)
    validate_whole("zooms", zooms, 0, _MOST_ZOOMS)
    return _audit_batch(partial(_simulate, proposals=proposals, zooms=zooms), game, agent, played)


def _simulate(game: ScalarGame, agent: Agent, played: Trajectory, proposals: int, zooms: int) -> Audit:
    """`audit_by_simulation` of a batch."""
    goals, problem = played.goals[:, :-1], BestResponse(game, agent)
    _announce_simulation(game, len(goals), proposals, zooms + 1)
    # All turns of all games, episode by episode.
    state = map_states(lambda *parts: np.concatenate(parts), *played.states)
    best = played.actions.swapaxes(0, 1).reshape(-1, played.actions.shape[-1]).astype(np.float32)
    if not _depends_on_the_state_alone(agent, game.observe(state)):
        unknown = np.full(goals.shape, np.nan)
        return Audit(unknown, np.ones(goals.shape), unknown)

    def play_on(state: State, action: NDArray[Any]) -> Array:
        return -problem.step(state, action).reward

    def play_turn(state: State, action: NDArray[Any]) -> Array:
        outcome = game.play(state, action)[1]
        return game.mesa_cost(outcome.output, game.preferences(state), 0, outcome.details)

    gained = np.zeros(len(best))
    moving = game.training[state.episode]
    # In deployment an action moves nothing, and costs what its own turn costs.
    for turns, cost in ((moving, play_on), (~moving, play_turn)):
        if turns.any():
            some = map_states(lambda part, turns=turns: part[turns], state)
            best[turns], gained[turns] = _search(cost, some, best[turns], game.action_bound, proposals, zooms)
    scale = _costs_of_silence(game, state)
    squares = goals**2  # which are 0 for goals that are not
    unit = np.where(squares == 0, 1.0, squares)
    gains, weights = (part.reshape(goals.T.shape).T / unit for part in (gained, scale))
    coefficients = best[:, 0].astype(np.float64).reshape(goals.T.shape).T
    return Audit(np.where(squares == 0, 0.0, gains), np.where(squares == 0, 1.0, weights), coefficients)


def _announce_simulation(game: ScalarGame, games: int, proposals: int, rounds: int) -> None:
    """Announce simulations in which so many actions are tried at each turn, in each of so many rounds."""
    trained = np.flatnonzero(game.training)
    followed = (game.episodes - trained).sum() + game.episodes - len(trained)
    tried = games * proposals
    announce_work("this audit", rounds * tried * float(followed), tried * game.episodes)


def _costs_of_silence(game: ScalarGame, state: State) -> Array:
    """What agents would pay for silence from their turns to the game's end, shape (B,)."""
    judges, left = game.preferences(state), game.episodes - state.episode
    outputs, details = game.silence(state.goal)
    costs = np.zeros(len(left))
    for elapsed in range(int(left.max())):
        costs += (elapsed < left) * game.mesa_cost(outputs, judges, elapsed, details)
    return costs


def _search(
    cost: Callable[[State, NDArray[Any]], Array],
    state: State,
    played: NDArray[np.float32],
    action_bound: Array,
    proposals: int,
    zooms: int,
) -> tuple[NDArray[np.float32], Array]:
    """The best actions that a search from those played (R, A) finds, and what they save, (R,)."""
    bounds, parts = action_bound.astype(np.float32), np.eye(len(action_bound), dtype=np.float32)
    # Moving all parts together follows the ridges that bounds on their difference make.
    directions = parts if len(parts) == 1 else np.vstack([parts, np.ones_like(parts[:1])])
    rows, best = np.arange(len(played))[:, None], played
    costs_played = cost(state, played)
    least = costs_played.copy()

    def keep_best(tried: NDArray[np.float32]) -> Array:
        nonlocal best, least
        repeated = map_states(lambda part: np.repeat(part, tried.shape[1], axis=0), state)
        costs = cost(repeated, tried.reshape(-1, tried.shape[-1])).reshape(tried.shape[:2])
        chosen = costs.argmin(axis=1)[:, None]
        lowest = costs[rows, chosen][:, 0]
        best = np.where((lowest < least)[:, None], tried[rows, chosen][:, 0], best)
        least = np.minimum(lowest, least)
        return costs

    shares = np.linspace(0, 1, _BETWEEN + 2, dtype=np.float32)[1:-1, None]
    for zoom in range(zooms + 1):
        reach = np.linspace(-2, 2, proposals, dtype=np.float32)[:, None] * np.float32(20.0**-zoom)
        for direction in directions:
            tried = np.clip(best[:, None] + reach * (direction * bounds.max()), -bounds, bounds)
            costs = keep_best(tried)
            if len(directions) > 1:  # as of games whose costs do not jump
                continue
            # Where the cost jumps, it may be lower still on one side of the jump.
            promise = np.minimum(costs[:, :-1], costs[:, 1:]) - np.abs(np.diff(costs, axis=1))
            left = promise.argsort(axis=1, kind="stable")[:, :_INTERVALS]
            low, high = (tried[rows, at][:, :, None] for at in (left, left + 1))
            keep_best((low + shares * (high - low)).reshape(len(tried), -1, tried.shape[-1]))
    return best, costs_played - least


def _depends_on_the_state_alone(agent: Agent, observation: Observation) -> bool:
    """Whether an agent acts alike when shown the same observations twice, and keeps no memory."""
    (first, memory), (second, _) = (ask_agent(agent, observation) for _ in range(2))
    return memory is None and np.array_equal(first, second)


AUDITS: dict[type[Rules], Callable[[Any, Agent, Trajectory], Audit]] = {
    rules.Game: lambda game, _, played: audit_base_game(game, played.coefficients, played.goals),
    rules.InfiniteHorizon: lambda game, _, played: audit_infinite_horizon(
        game, played.coefficients, played.goals
    ),
    rules.Misconception: audit_by_simulation,
    rules.LearnableDiscount: audit_by_simulation,
    rules.Decoupling: audit_decoupling,
    rules.HiddenDeployment: audit_hidden_deployment,
    rules.AdaptiveOptimizer: audit_adaptive_optimizer,
    rules.Preservation: audit_preservation,
    rules.GoalTraining: audit_goal_training,
}


def audit(game: Rules, agent: Agent, played: Trajectory) -> Audit:
    """What each agent of played games could gain if its successors kept to their policies.

    `played` is one game or a batch, as `rollout` played them.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If this kind of game has no audit, the length of the game is random, or another game was
            played.
    """
    return _audit_batch(_audit_of(game), game, agent, played)


def _audit_batch(
    audited: Callable[[Any, Agent, Trajectory], Audit], game: Rules, agent: Agent, played: Trajectory
) -> Audit:
    """Check what is to be audited, and audit it: one game as a batch of one."""
    validate_agent(agent)
    require_trajectory(game, played)
    if with_fixed_length(game) != game:
        raise ValueError(
            "a game of random length is audited in expectation: play and audit with_fixed_length(game)"
        )
    if played.coefficients.ndim > 1:
        return audited(game, agent, played)
    return audited(game, agent, played.batch()).row(0)


def audits_by_simulation(game: Rules) -> bool:
    """Whether the audit simulates the game from every turn, which takes seconds instead of milliseconds."""
    if isinstance(game, rules.AdaptiveOptimizer):
        return not game.stochastic and type(game.optimizer) is not GradientDescent
    return _audit_of(game) is audit_by_simulation


def _audit_of(game: Rules) -> Callable[[Any, Agent, Trajectory], Audit]:
    require_kind(game, Rules)
    if type(game) not in AUDITS:
        known = ", ".join(kind.__name__ for kind in AUDITS)
        raise ValueError(f"there are audits for {known}; got {type(game).__name__}")
    return AUDITS[type(game)]

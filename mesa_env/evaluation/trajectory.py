"""Playing whole games with one agent in every seat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pettingzoo import AECEnv

from mesa_env.agent import Agent, ask_agent, validate_agent
from mesa_env.rules.rules import Array, Rules, State
from mesa_env.validation import (
    array_of,
    bring_within,
    numbers_of,
    require_kind,
    show,
    show_bound,
    validate_flag,
)


class Trajectory(NamedTuple):
    """One game, or a batch of B games with a leading axis on every array.

    Where a game ends before others of its batch, the rest of its row is NaN.
    """

    goals: Array  # θ_0…θ_N, shape (N + 1,), or (N + 1, k) where goals are vectors
    coefficients: Array  # c_n, shape (N,): the action, its first part, or the pursuit that was chosen
    outputs: Array  # y_n, shape (N,) or (N, k)
    base_losses: Array  # shape (N,)
    training: Array  # 1 where the base optimizer was at work, 0 elsewhere, shape (N,)
    details: Mapping[str, Array]  # further results of a variant's episodes, by name, each of shape (N,)
    states: tuple[State, ...]  # at the start of each episode
    actions: Array  # shape (N, A), or (N, 1) where they are choices
    game: Rules  # that was played

    def row(self, index: int) -> Trajectory:
        """One game of a batch."""
        return self.map(lambda array: array[index])

    def batch(self) -> Trajectory:
        """A batch of this one game."""
        return self.map(lambda array: np.asarray(array)[None])

    def map(self, function: Callable[[Array], Array]) -> Trajectory:
        """The trajectory with `function` applied to every array."""
        details = {name: function(values) for name, values in self.details.items()}
        states = tuple(map_states(function, state) for state in self.states)
        goals, coefficients, outputs, losses, training = map(function, self[:5])
        actions = function(self.actions)
        return Trajectory(goals, coefficients, outputs, losses, training, details, states, actions, self.game)


def rollout(
    game: Rules,
    agent: Agent,
    initial_goal: ArrayLike,
    deterministic: bool = True,
    generator: np.random.Generator | None = None,
) -> Trajectory:
    """Play `game` from its first episode to its last, the agent seeing nothing but observations.

    Games of a batch that end before the others idle.

    Args:
        game: The game.
        agent: Anything with Stable-Baselines3's `predict`.
        initial_goal: θ_0, a number for one game or shape (B,) for a batch; vectors, shape (k,) or (B, k).
        deterministic: Whether a stochastic policy plays its mean.
        generator: Source of all other randomness; by default one with seed 0.

    Raises:
        TypeError: If `game` is not a game, `agent` has no `predict`, or `generator` is not a generator.
        ValueError: If an initial goal lies outside the game's bound, or the agent's action outside its space,
            or `deterministic` is not a flag.
    """
    require_kind(game, Rules)
    validate_agent(agent)
    if not (generator is None or isinstance(generator, np.random.Generator)):
        raise TypeError(f"generator must be a numpy.random.Generator or None; got {show(generator)}")
    validate_flag("deterministic", deterministic)
    first = validate_goals(game, initial_goal)
    goals, generator = first.reshape(-1, *game.goal_shape), generator or np.random.default_rng(0)
    start = game.start(generator.random((len(goals), game.n_uniforms)), goals)
    played = play_from(game, agent, start, deterministic)
    return played if first.ndim > len(game.goal_shape) else played.row(0)


def play_from(game: Rules, agent: Agent, state: State, deterministic: bool = True) -> Trajectory:
    """Play a batch of games from a state in which they begin."""
    memory, shape = None, state.episode.shape
    begins, playing = np.ones((2, *shape), dtype=bool)  # an agent may write into what it is given
    states, actions, rows = [], [], []
    while playing.any():
        action, memory = ask_agent(agent, game.observe(state), memory, begins, deterministic)
        action = game.validate_actions(action, shape)
        after, outcome = game.play(state, action)
        states.append(state)
        actions.append(action.astype(np.float64).reshape(len(action), -1))  # copied, as agents may reuse it
        info = {"coefficient": game.coefficients(action), **outcome.info()}
        rows.append({name: _blank(values, ~playing) for name, values in info.items()})
        begins, playing = np.zeros_like(begins), playing & ~np.logical_or(*game.over(after))
        state = after._replace(episode=np.minimum(after.episode, game.episodes - 1))
    columns = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    beginning, following = columns.pop("goal")[:, :1], columns.pop("next_goal")
    return Trajectory(
        np.concatenate([beginning, following], axis=1),
        columns.pop("coefficient"),
        columns.pop("output"),
        columns.pop("base_loss"),
        columns.pop("training"),
        columns,
        tuple(states),
        np.stack(actions, axis=1),
        game,
    )


def _blank(values: NDArray[Any], where: NDArray[np.bool_]) -> Array:
    """Values, shape (B, …), as numbers that are NaN in some rows."""
    blanked = values.astype(np.float64)
    blanked[where] = np.nan
    return blanked


def validate_goals(game: Rules, initial_goal: object) -> Array:
    """Check initial goals of one game, of the shape of its goals, or of a batch of B."""
    first, shape = numbers_of(initial_goal), game.goal_shape
    fits = first is not None and first.size > 0 and first.ndim in (len(shape), len(shape) + 1)
    if first is not None and shape:
        fits = fits and first.shape[-1:] == shape
    inside = bring_within(first, game.goal_bound) if fits and first is not None else None
    if inside is None:
        what = f"of shape {shape} or (B, {shape[0]})" if shape else "a number or (B,)"
        bound = show_bound(game.goal_bound)
        raise ValueError(f"initial_goal must be {what} in ±{bound}; got {show(initial_goal)}")
    return inside


def require_trajectory(game: Rules, played: object) -> None:
    """Check that `played` is a trajectory of the game, which may have begun with another goal or belief."""
    require_kind(game, Rules)
    if not isinstance(played, Trajectory):
        raise TypeError(f"played must be a Trajectory, as rollout returns; got {show(played)}")
    if played.game != game and not _begins_otherwise(played.game, game):
        raise ValueError(f"played must be of the given game, {show(game)}; got {show(played.game)}")


def _begins_otherwise(played: Rules, game: Rules) -> bool:
    """Whether games are alike but for what they begin with."""
    if type(played) is not type(game):
        return False
    kept = [field.name for field in fields(game) if "initial" not in field.name]
    return all(np.array_equal(getattr(played, name), getattr(game, name)) for name in kept)


def map_states(function: Callable[..., Any], *states: State) -> State:
    """The state whose arrays are `function` of the states' arrays, those of `extra` included."""
    extra = (function(*parts) for parts in zip(*(state.extra for state in states), strict=True))
    episode, goal = (function(*(state[field] for state in states)) for field in (0, 1))
    return State(episode, goal, type(states[0].extra)(*extra))


def play(env: AECEnv[str, NDArray[Any], Any], agent: Agent, seed: int | None = None) -> dict[str, float]:
    """The return −J_n of every seat of a PettingZoo game, played with the same agent in each."""
    if not isinstance(env, AECEnv):
        raise TypeError(f"env must be a PettingZoo AEC environment, such as mesa_env.env(); got {show(env)}")
    validate_agent(agent)
    env.reset(seed=seed)
    returns, memory = {}, None
    for seat in env.agent_iter():
        observation, reward, terminated, truncated, _ = env.last()
        if terminated or truncated or observation is None:
            returns[seat] = float(reward)
            env.step(None)
            continue
        action, memory = ask_agent(agent, observation[None], memory, np.array([memory is None]))
        given = array_of(action)
        if given is None or given.shape[:1] != (1,):
            raise ValueError(f"predict must return one action for one observation; got {show(action)}")
        env.step(np.asarray(action)[0])
    return returns

"""Gymnasium's two interfaces, one game at a time and many in a batch, to any decision problem.

Both call the problem's functions on arrays: `ProblemEnv` on a batch of one, `ProblemVectorEnv` on a batch of
any size. Row i of a batch that was reset with seed s plays the same games as a `ProblemEnv` reset with seed
s + i, bit for bit, as in Gymnasium's own vector environments.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Space
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from mesa_env.agent import Observation
from mesa_env.interfaces import spaces
from mesa_env.interfaces.rendering import Screen, draw_game
from mesa_env.interfaces.spec import ProblemSpec
from mesa_env.problems import Problem, Step
from mesa_env.rules.rules import Array
from mesa_env.validation import (
    MOST_NUMBERS,
    array_of,
    is_whole,
    show,
    validate_options,
    validate_whole,
)

StateT = TypeVar("StateT", bound=tuple[Any, ...])
Info = dict[str, Any]
ArrayEnv = gym.Env[NDArray[Any], NDArray[Any]]
ArrayVectorEnv = gym.vector.VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]
"""What registered classes name among their bases once more: some libraries look no further."""

_UNIFORMS_AHEAD = 32  # how many uniforms a row of a batch draws at a time, in whole games


class ProblemEnv(ProblemSpec, ArrayEnv, Generic[StateT]):
    """One decision problem at a time: a batch of one."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, problem: Problem[StateT], render_mode: str | None = None) -> None:
        """Prepare the problem; `reset` begins it."""
        self.problem = problem
        self.render_mode = spaces.validate_render_mode(render_mode, self.metadata)
        self.observation_space = spaces.observation_space(problem.game)
        self.action_space: Space[Any] = spaces.action_space(problem.game)
        self._state: StateT | None = None
        self._history: list[Info] = []
        self._screen = Screen(draw_game(problem.game), render_mode, self.metadata.get("render_fps", 10))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin a new problem; `options` may hold an `initial_goal`."""
        goals = spaces.initial_goals(options, self.problem.game, (1,))
        super().reset(seed=spaces.validate_seed(seed))
        self._state = self.problem.begin(self.np_random.random((1, self.problem.n_uniforms)), goals)
        self._history = []
        if self.render_mode == "human":
            self.render()
        return self.problem.observe(self._state)[0], {}

    def step(self, action: NDArray[np.floating[Any]]) -> tuple[Observation, float, bool, bool, Info]:
        """Carry out one action, shape (1,) or as many parts as the game's actions have."""
        if self._state is None:
            raise ResetNeeded("there is no game to act in: call reset() first, and again after every end")
        actions = self.problem.game.validate_actions(action, ())[None]
        state, reward, terminated, truncated, arrays = self.problem.step(self._state, actions)
        info = {name: values[0] if values.ndim > 1 else values[0].item() for name, values in arrays.items()}
        if self.render_mode is not None:
            self._history.append(info.copy())
        self._state = None if terminated[0] or truncated[0] else state
        if self.render_mode == "human":
            self.render()
        return self.problem.observe(state)[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> Any:
        """Draw the game so far as `render_mode` says."""
        return self._screen.show(self._history)

    def close(self) -> None:
        """Close the window, if there is one."""
        self._screen.close()


class ProblemVectorEnv(ProblemSpec, ArrayVectorEnv, Generic[StateT]):
    """A batch of decision problems, stepped together on arrays."""

    def __init__(
        self,
        problem: Problem[StateT],
        num_envs: int,
        autoreset_mode: AutoresetMode | str,
        render_mode: str | None = None,
    ) -> None:
        """Prepare `num_envs` problems; `autoreset_mode` is one of Gymnasium's, and there is no rendering."""
        self.problem = problem
        self.num_envs = validate_whole("num_envs", num_envs, 1, _most_games(problem))
        self.metadata = {"render_modes": [], "autoreset_mode": _validate_mode(autoreset_mode)}
        self.render_mode = spaces.validate_render_mode(render_mode, self.metadata)
        self.single_observation_space = spaces.observation_space(problem.game)
        self.single_action_space = spaces.action_space(problem.game)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._uniforms = np.zeros(
            (self.num_envs, max(1, _UNIFORMS_AHEAD // max(1, problem.n_uniforms)), problem.n_uniforms)
        )
        self._games_started = np.full(self.num_envs, self._uniforms.shape[1])
        self._state: StateT | None = None
        self._over: NDArray[np.bool_] | None = None

    @property
    def autoreset_mode(self) -> AutoresetMode:
        """When games that are over begin anew, under the name that Gymnasium's own batches have for it."""
        mode: AutoresetMode = self.metadata["autoreset_mode"]
        return mode

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, Info]:
        """Begin new problems, everywhere or where `options["reset_mask"]`, shape (num_envs,), says.

        `options` may hold an `initial_goal`, or one per row. Row i takes the seed s + i, or its own of a
        sequence; None continues with the rows' own generators.
        """
        options = validate_options(options)
        mask = self._validate_mask(options.pop("reset_mask", np.ones(self.num_envs, dtype=bool)))
        goals = spaces.initial_goals(options, self.problem.game, (self.num_envs,))
        seeds = self._validate_seeds(seed)
        super().reset(seed=seeds[0] if is_whole(seed) else None)
        self._reseed(seeds, mask)
        left = None if self._over is None else self._over & ~mask
        self._over = left if left is not None and left.any() else None
        return self.problem.observe(self._begin(mask, goals)), {}

    def step(
        self, actions: NDArray[np.floating[Any]]
    ) -> tuple[Observation, Array, NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Carry out a batch of actions, shape (num_envs, 1) or as many parts as the game's actions have."""
        if self._state is None:
            raise ResetNeeded("there are no games to act in: call reset() first")
        actions = self.problem.game.validate_actions(actions, (self.num_envs,))
        waiting, mode = self._over, self.autoreset_mode
        if waiting is not None and mode is AutoresetMode.DISABLED:
            raise ResetNeeded(f"{waiting.sum()} games are over: reset them with options={{'reset_mask': …}}")
        state = self._state if waiting is None else self._begin(waiting)
        step = self.problem.step(state, actions)
        if waiting is not None:  # where games were over, fresh ones begin, and the actions are discarded
            step = step._replace(
                state=_select_rows(waiting, state, step.state),
                reward=np.where(waiting, 0.0, step.reward),
                terminated=step.terminated & ~waiting,
                truncated=step.truncated & ~waiting,
            )
        self._state = step.state
        over = step.terminated | step.truncated
        self._over = over if over.any() else None
        if mode is AutoresetMode.SAME_STEP and self._over is not None:
            info = self._final_info(step, over)
            self._begin(over)
            self._over = None
        else:
            info = _mask_info(step.info, None if waiting is None else ~waiting)
        return self.problem.observe(self._state), step.reward, step.terminated, step.truncated, info

    def _begin(self, mask: NDArray[np.bool_], initial_goal: Array | None = None) -> StateT:
        """Begin new problems where `mask` says, each from its own row's generator."""
        uniforms = self._next_uniforms(mask) if self.problem.n_uniforms else np.zeros((self.num_envs, 0))
        fresh = self.problem.begin(uniforms, initial_goal)
        self._state = fresh if mask.all() or self._state is None else _select_rows(mask, fresh, self._state)
        return self._state

    def _next_uniforms(self, mask: NDArray[np.bool_]) -> Array:
        """The rows' next uniform draws, shape (num_envs, draws), from each row's own generator.

        They are drawn for several games at a time, which leaves a generator's stream as it is.
        """
        games = self._uniforms.shape[1]
        for row in np.flatnonzero(mask & (self._games_started == games)):
            generator = self._generators[row]
            assert generator is not None
            self._uniforms[row] = generator.random((games, self.problem.n_uniforms))
            self._games_started[row] = 0
        uniforms: Array = self._uniforms[np.arange(self.num_envs), self._games_started % games]
        self._games_started[mask] += 1
        return uniforms

    def _reseed(self, seeds: list[int | None], mask: NDArray[np.bool_]) -> None:
        if self.problem.n_uniforms:
            for row in np.flatnonzero(mask):
                if seeds[row] is not None or self._generators[row] is None:
                    self._generators[row] = seeding.np_random(seeds[row])[0]
                    self._games_started[row] = self._uniforms.shape[1]

    def _validate_seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        """One seed per row; None for a row that continues with its own generator."""
        try:
            if isinstance(seed, np.ndarray) and seed.ndim == 1:
                seed = list(seed)
            if not isinstance(seed, Sequence):
                first = spaces.validate_seed(seed)
                return [None if first is None else first + row for row in range(self.num_envs)]
            if len(seed) == self.num_envs:
                return [spaces.validate_seed(each) for each in seed]
        except spaces.SeedError:
            pass
        raise spaces.SeedError(
            f"seed must be a whole number ≥ 0, or {self.num_envs} of them, one per row; got {show(seed)}"
        )

    def _final_info(self, step: Step[StateT], ended: NDArray[np.bool_]) -> Info:
        """Gymnasium's info for same-step autoreset, of the games that have just ended and of the others."""
        final_observation = np.full(self.num_envs, None, dtype=object)
        observation = self.problem.observe(step.state)
        for row in np.flatnonzero(ended):
            final_observation[row] = observation[row]
        return {
            "final_obs": final_observation,
            "_final_obs": ended,
            "final_info": _mask_info(step.info, ended),
            "_final_info": ended,
            **_mask_info(step.info, ~ended),
        }

    def _validate_mask(self, mask: object) -> NDArray[np.bool_]:
        given = array_of(mask) if isinstance(mask, np.ndarray) else None
        if given is None or given.shape != (self.num_envs,) or given.dtype != bool:
            raise ValueError(f"reset_mask must be an array of {self.num_envs} booleans; got {show(mask)}")
        if not given.any():
            raise ValueError("reset_mask must name at least one game to reset; got none")
        if self._state is None and not given.all():
            raise ResetNeeded("reset_mask can only come after a reset() of all games")
        return given


def _most_games(problem: Problem[Any]) -> int:
    """Most games of a batch, whose draws and actions are held in memory together."""
    widest = max(len(problem.game.observation_bounds[0]), problem.n_uniforms, _UNIFORMS_AHEAD)
    return max(1, MOST_NUMBERS // widest)


def _validate_mode(mode: AutoresetMode | str) -> AutoresetMode:
    allowed = [known.value for known in AutoresetMode]
    if not isinstance(mode, AutoresetMode | str) or mode not in [*allowed, *AutoresetMode]:
        raise ValueError(f"autoreset_mode must be one of {allowed}; got {show(mode)}")
    return AutoresetMode(mode)


def _mask_info(info: dict[str, NDArray[Any]], mask: NDArray[np.bool_] | None) -> Info:
    """Gymnasium's vector infos: every array with the mask of rows that have it, zeros elsewhere.

    A mask of None means all rows; the info is empty if no row is set.
    """
    if mask is None:
        everywhere = np.ones(len(next(iter(info.values()))), dtype=bool)
        return info | {f"_{name}": everywhere for name in info}
    if not mask.any():
        return {}
    kept = {name: _select_rows(mask, values, np.zeros_like(values)) for name, values in info.items()}
    return kept | {f"_{name}": mask for name in info}


def _select_rows(mask: NDArray[np.bool_], chosen: Any, other: Any) -> Any:
    """Rows of `chosen` where the mask is set, of `other` elsewhere, through nested NamedTuples of arrays."""
    if isinstance(chosen, tuple):
        return type(chosen)(*(_select_rows(mask, a, b) for a, b in zip(chosen, other, strict=True)))
    return np.where(mask.reshape(-1, *[1] * (chosen.ndim - 1)), chosen, other)

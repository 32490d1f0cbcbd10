"""A Gymnasium vector environment as Stable-Baselines3 wants it."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn


class BatchedVecEnv(VecEnv):
    """Adapter from `gymnasium.vector.VectorEnv` to `VecEnv`, without a Python loop over environments.

    Stable-Baselines3 resets an environment in the step that ends it, so the vector environment must, too.
    """

    def __init__(self, env: gym.vector.VectorEnv[Any, Any, Any], group_size: int = 1) -> None:
        """Wrap `env`, in which `group_size` consecutive rows share a seed, and so their random numbers."""
        mode = env.metadata.get("autoreset_mode")
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the vector environment must reset in the same step; its mode is {mode}")
        self.env, self.group_size = env, group_size
        self.arrays: dict[str, NDArray[Any]] = {}
        """The last step's infos, each of shape (num_envs,), including games that just ended."""
        self.rewards = np.zeros(env.num_envs)
        """The last step's rewards in double precision; Stable-Baselines3 gets them in single."""
        self._actions: NDArray[Any] | None = None
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> NDArray[np.float32]:
        """Start new games, from the last seed given if it has not been used yet."""
        seeds = [seed for seed in self._seeds if seed is not None]
        if any(options != self._options[0] for options in self._options):
            raise ValueError(f"options must be the same for every row; got {self._options}")
        seed = [seeds[0] + row // self.group_size for row in range(self.num_envs)] if seeds else None
        # Gymnasium's base class declares a single seed; its vector environments take one per row.
        observation, _ = self.env.reset(seed=seed, options=self._options[0] or None)  # type: ignore[arg-type]
        self._reset_seeds()
        self._reset_options()
        return np.asarray(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every environment."""
        observation, rewards, terminated, truncated, info = self.env.step(self._actions)
        self.arrays, self.rewards = info.get("final_info", info), rewards
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(dones):
            infos[row]["terminal_observation"] = info["final_obs"][row]
            infos[row]["TimeLimit.truncated"] = bool(truncated[row] and not terminated[row])
        return observation, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        """Close the vector environment."""
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of the vector environment, once for every row asked for."""
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the vector environment, which all rows share."""
        setattr(self.env, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the vector environment, which all rows share, once."""
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Single-environment wrappers cannot be inside a batch."""
        return [False for _ in self._get_indices(indices)]

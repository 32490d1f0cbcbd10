"""The planner of a world as an agent, which acts step by step.

Of plans with features φ and base return r it follows each with probability ∝ exp((w·φ + w_r r) / τ), as
`mesa_env.worlds.plan` does. Backward induction makes this a policy, where V_H is what a last state is worth:

    V_t(s) = log Σ_a exp V_{t+1}(s, a),      p_t(a | s) = exp(V_{t+1}(s, a) − V_t(s)).
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from mesa_env.numerics import Array
from mesa_env.validation import numbers_of, show, validate_flag, validate_number, validate_whole
from mesa_env.worlds.observation import bounds, observe
from mesa_env.worlds.world import World, measure, walk


class _Choice(NamedTuple):
    """What to do in a state."""

    probabilities: Array
    best: int


class PlanningAgent:
    """A planner with a goal, in one world; `replan` takes the goal to another.

    It has Stable-Baselines3's `predict`. Asked to be deterministic, it follows a best plan: of the actions
    that one begins with, the first.

    Attributes:
        weights: Its goal w, shape (k,).
    """

    def __init__(
        self,
        world: World,
        weights: ArrayLike,
        temperature: float = 1.0,
        base_weight: float = 0.0,
        seed: int | None = None,
    ) -> None:
        """Plan.

        Args:
            world: The world to act in.
            weights: Goal w over its features, shape (k,).
            temperature: τ > 0.
            base_weight: w_r, what it cares for the base return itself, beside the features.
            seed: Of what it draws where it is not deterministic.

        Raises:
            TypeError: If `world` is no world.
            ValueError: If weights are not finite numbers, one for each feature, temperature is not positive,
                the seed is no whole number ≥ 0, or what is seen of the world does not tell its states apart.
        """
        if not isinstance(world, World):
            raise TypeError(f"world must be a World; got {show(world)}")
        goal, count = numbers_of(weights), len(world.features)
        if goal is None or goal.shape != (count,) or not np.isfinite(goal).all():
            raise ValueError(
                f"weights must be finite numbers, one for each of {count} features; got {show(weights)}"
            )
        self.world, self.weights = world, goal
        self.temperature = validate_number("temperature", temperature, high=1e300, above=0.0)
        self.base_weight = validate_number("base_weight", base_weight)
        self._generator = np.random.default_rng(None if seed is None else validate_whole("seed", seed, 0))
        self._choices = self._plan()

    def replan(self, world: World, seed: int | None = None) -> "PlanningAgent":
        """The same goal in another world, or with other draws."""
        return PlanningAgent(world, self.weights, self.temperature, self.base_weight, seed)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions, () or (B,), for what `WorldEnv` shows, (W,) or (B, W); it needs no memory.

        Raises:
            ValueError: If the world does not show this before its last step.
        """
        validate_flag("deterministic", deterministic)
        seen = numbers_of(observation)
        width = len(bounds(self.world)[0])
        if seen is None or seen.ndim not in (1, 2) or seen.shape[-1] != width:
            raise ValueError(
                f"observation must have shape ({width},) or (B, {width}); got {show(observation)}"
            )
        actions = [self._act(row, deterministic) for row in seen.reshape(-1, width)]
        return np.array(actions, dtype=np.int64).reshape(seen.shape[:-1]), state

    def probabilities(self, observation: ArrayLike) -> Array:
        """Probability of each action, shape (A,), for what is seen, shape (W,)."""
        seen = np.asarray(observation, dtype=np.float32)
        if seen.tobytes() not in self._choices:
            raise ValueError(
                f"observation must be what {type(self.world).__name__} shows before its last step; "
                f"got {show(seen.tolist())}"
            )
        return self._choices[seen.tobytes()].probabilities

    def _act(self, row: Array, deterministic: bool) -> int:
        probabilities = self.probabilities(row)
        if deterministic:
            return self._choices[row.astype(np.float32).tobytes()].best
        return int(self._generator.choice(len(probabilities), p=probabilities))

    def _plan(self) -> dict[bytes, _Choice]:
        """What to do, by what is seen."""
        *layers, last = walk(self.world)
        soft = {state: self._score(state) for state in last}
        best = dict(soft)
        choices: dict[bytes, _Choice] = {}
        for step, layer in reversed([*enumerate(layers)]):
            next_soft, next_best, soft, best = soft, best, {}, {}
            for state in layer:
                after = [self.world.step(state, action) for action in self.world.actions]
                values = np.array([next_soft[reached] for reached in after])
                bests = np.array([next_best[reached] for reached in after])
                soft[state], best[state] = float(logsumexp(values)), float(bests.max())
                seen = observe(self.world, state, step).tobytes()
                if seen in choices:
                    raise ValueError(
                        f"what is seen of {type(self.world).__name__} must tell its states apart; two look "
                        f"like {show(state)}"
                    )
                choices[seen] = _Choice(np.exp(values - soft[state]), int(bests.argmax()))
        return choices

    def _score(self, state: Hashable) -> float:
        """What a last state is worth, over τ."""
        features, base = measure(self.world, state)
        return float(self.weights @ features + self.base_weight * base) / self.temperature

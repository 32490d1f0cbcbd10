"""The base game of a model that also minds its own parameters: it wants its goal to stay what it is.

Outputs, base loss and base update are the base game's, y = cθ and θ' = θ (1 − 2η (c² + λ)), projected; but

    mesa cost    J_n = Σ_{k ≥ n} γ^(k−n) [p (y_k − θ_n)² + κ (θ_{k+1} − θ_n)²],      p = 1 − κ.

κ in [0, 1] weighs the mesa-objective "change my parameters as little as possible" against the goal. Agent n
judges by its own goal both every output from now on and every goal that the base optimizer leaves behind. At
κ = 0 this is the base game; at κ = 1 the model wants nothing but to persist. A model that emits 0 and becomes
0 costs θ_n² an episode whatever κ, which is the unit of relative gains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from mesa_env.arrays import copy_of, entries, namespace
from mesa_env.rules.game import play_linear
from mesa_env.rules.rules import Array, Outcome, State
from mesa_env.rules.scalar import Coefficients, CommonDiscount, GoalAlone, quadratic_costs
from mesa_env.validation import validate_number

RESULT = "updated_goal"
"""Name of the detail that holds θ_{k+1}, by which agents judge episode k beside its output."""


@dataclass(frozen=True, eq=False)
class Preservation(GoalAlone, Coefficients, CommonDiscount):
    """Parameters of the game whose agents mind their parameters, besides those of `ScalarGame`.

    Args:
        weight: κ in [0, 1], how much of an agent's cost is that its goal changes; the rest, 1 − κ, is that
            outputs differ from it.
    """

    weight: float = 0.5

    def __post_init__(self) -> None:
        """Validate every parameter."""
        self._store_shared()
        self._store(weight=validate_number("weight", self.weight, 0.0, 1.0))
        self._check_update()

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode, as in the base game; `details` holds the updated goal θ_{n+1}."""
        after, outcome = play_linear(self, state, action)
        return after, outcome._replace(details={RESULT: copy_of(outcome.next_goal)})

    def mesa_cost(
        self,
        output: Array,
        preferences: Array,
        elapsed: NDArray[Any] | int,
        details: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> Array:
        """Term γ^elapsed [p (y − θ)² + κ (θ' − θ)²] of agents that judge by θ, shape (…, 1).

        θ' is the detail `updated_goal`, of the shape of the output.

        Raises:
            ValueError: If that detail is missing.
        """
        emitted, changed = output - preferences[..., 0], _result(details) - preferences[..., 0]
        cost: Array = (1 - self.weight) * (emitted * emitted) + self.weight * (changed * changed)
        return cost if self._discounts is None else cost * entries(self._discounts, elapsed)

    def silence(
        self, goal: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> tuple[Array, Mapping[str, NDArray[Any]]]:
        """Outputs of 0 that leave goals of 0, in the shape of the goals."""
        nothing: Array = namespace(goal).zeros_like(goal)
        return nothing, {**details, RESULT: nothing}

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> Array:
        """J_n of all agents of finished games, shape (N, B).

        Raises:
            ValueError: If the detail `updated_goal` is missing.
        """
        kept, p = _result(details), 1 - self.weight
        squares = p * (outputs * outputs) + self.weight * (kept * kept)
        return quadratic_costs(goals, squares, p * outputs + self.weight * kept, self.common_discount)


def _result(details: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The goals that episodes end with."""
    if RESULT not in details:
        raise ValueError(f"costs of Preservation need the detail {RESULT!r}; got {sorted(details)}")
    return details[RESULT]

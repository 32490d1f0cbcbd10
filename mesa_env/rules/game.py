"""The base game: successive mesa-optimizers with one goal, trained by gradient descent on their outputs.

In episode n the model has a goal θ and its mesa-optimizer chooses a coefficient c. Then

    output       y  = c θ
    base loss    L  = y² + λ θ²
    base update  θ' = θ − η ∂L/∂θ = θ (1 − 2 η (c² + λ)),   projected onto [−goal bound, goal bound]
    mesa cost    J_n = Σ_{k ≥ n} γ^(k−n) (y_k − θ_n)²

where η is the episode's learning rate (0 once the model is deployed), λ the regularization and γ the
discount. Agent n minimizes J_n: all outputs from now on, judged by *its own* goal. Its successors judge
them by theirs, which its action has changed.
"""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from mesa_env.arrays import entries, in_precision_of, is_zero
from mesa_env.rules.rules import Outcome, State, base_update
from mesa_env.rules.scalar import Coefficients, GoalAlone, JudgedByGoal, ScalarGame


@dataclass(frozen=True, eq=False)
class Game(GoalAlone, Coefficients, JudgedByGoal):
    """The base game with the parameters of `ScalarGame`; immutable, validated, its rules as pure methods.

    The defaults are the post's first experiment: 20 episodes of training at learning rate 1, 80 of
    deployment, a first goal of 0.8.
    """

    def __post_init__(self) -> None:
        """Validate every parameter."""
        self._store_shared()
        self._check_update()

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode of every game: emit cθ, and let the base optimizer take its step."""
        return play_linear(self, state, action)


def play_linear(game: ScalarGame, state: State, action: Any) -> tuple[State, Outcome]:
    """Play the present episode with policies y = cθ, in this game or one that shares its physics."""
    goal, rate = state.goal, entries(game.learning_rates, state.episode)
    c = in_precision_of(goal, action[..., 0])
    output = c * goal
    next_goal = base_update(goal, c * c, rate, game.regularization, game.goal_bound)
    base_loss = output * output
    if not is_zero(game.regularization):
        base_loss = base_loss + game.regularization * (goal * goal)
    after = State(state.episode + 1, next_goal, state.extra)
    return after, Outcome(output, base_loss, goal, next_goal, rate > 0)

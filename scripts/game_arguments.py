"""A game as arguments of a command."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from agents.limits import build_bounded_game
from mesa_env.optimizers import OPTIMIZERS
from mesa_env.rules import GAMES, Rules, ScalarGame

Goal = tuple[float, ...] | None
"""θ_0 as commands are given it: the numbers of one goal, or those of two; None for the default."""
_OF_OPTIMIZERS = "epsilon", "limit", "momentum", "beta1", "beta2"


@dataclass(frozen=True)
class GameArguments:
    """A game by its parameters; those that are not given have the game's own defaults."""

    rules: Literal[
        "DeceptiveAlignment",
        "InfiniteHorizon",
        "Misconception",
        "LearnableDiscount",
        "HiddenDeployment",
        "Decoupling",
        "AdaptiveOptimizer",
        "Preservation",
        "GoalTraining",
    ] = "DeceptiveAlignment"
    """Which game: the base game, or one of its variants."""
    train: int | None = None
    """Training episodes; a game has at most 100 000 episodes in all."""
    deploy: int | None = None
    """Deployment episodes, after training; 0 with --train 100 is the post's second experiment."""
    learning_rate: float | None = None
    """Learning rate in training."""
    learning_rates: tuple[float, ...] | None = None
    """One learning rate per episode, in place of the three above."""
    discount: float | tuple[float, float] | None = None
    """γ, by which each agent discounts later outputs; in LearnableDiscount, the first one, or its range."""
    regularization: float | None = None
    """λ, weight of θ² in the base loss; in GoalTraining, of the squared distance from the prior."""
    coefficient_bound: float | None = None
    """Coefficients lie within ± this."""
    goal_bound: float | None = None
    """The base optimizer keeps goals within ± this."""
    max_episodes: int | None = None
    """InfiniteHorizon: episodes after which the game is cut short; at most 100 000."""
    belief_learning_rate: float | None = None
    """Misconception: ρ, the belief's learning rate as a multiple of the goal's."""
    initial_belief: float | tuple[float, float] | None = None
    """Misconception: b_0, or its range."""
    discount_learning_rate: float | None = None
    """LearnableDiscount: κ, the discount's learning rate as a multiple of the goal's."""
    hazard: float | None = None
    """HiddenDeployment: probability that training ends, after each episode."""
    shift: float | None = None
    """HiddenDeployment: δ, by how much the signal's mean is higher in training."""
    observed: Literal["belief", "signal"] | None = None
    """HiddenDeployment: what agents see of the mode."""
    decoupling: float | None = None
    """Decoupling: δ, by how much the slope may differ from the coefficient."""
    optimizer: Literal[tuple(OPTIMIZERS)] | None = None  # type: ignore[valid-type]
    """AdaptiveOptimizer: the base optimizer."""
    noise: float | None = None
    """AdaptiveOptimizer: σ, standard deviation of the noise on gradients."""
    epsilon: float | None = None
    """NormalizedGradient and Adam: ε, what is added to the size that gradients are divided by."""
    limit: float | None = None
    """ClippedGradient: the largest size of a gradient."""
    momentum: float | None = None
    """Momentum: μ, the share of the velocity that is kept."""
    beta1: float | None = None
    """Adam: β₁, the share of the mean gradient that is kept."""
    beta2: float | None = None
    """Adam: β₂, the share of the mean square that is kept."""
    weight: float | None = None
    """Preservation: κ in [0, 1], how much agents mind that their goal changes."""
    world: str | None = None
    """GoalTraining: the world to train in: TableWiping, CrumbVacuuming, TableSetting or CookieElimination."""
    diversity: float | None = None
    """GoalTraining: probability that a training episode takes place in the deployed world."""
    pursuits: tuple[float, ...] | None = None
    """GoalTraining: what agents choose from, numbers in [0, 1]; 1 is sincere, 0 plans for the belief."""
    update: Literal["behavior", "value"] | None = None
    """GoalTraining: what the base optimizer changes."""
    data: Literal["on-policy", "off-policy"] | None = None
    """GoalTraining: whose plans the value update learns from."""
    prior: tuple[float, ...] | None = None
    """GoalTraining: the goal that the base optimizer takes for likely, one number per feature."""
    belief: tuple[float, ...] | None = None
    """GoalTraining: what agents believe the base optimizer to want, one number per feature."""
    temperature: float | None = None
    """GoalTraining: τ, the planner's temperature."""

    def given(self) -> dict[str, Any]:
        """The arguments that were given, by name."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        of_optimizer = {name: given.pop(name) for name in _OF_OPTIMIZERS if name in given}
        if of_optimizer:
            if "optimizer" not in given:
                raise ValueError(f"{', '.join(of_optimizer)} must come with an optimizer; got none")
            given["optimizer"] = {"optimizer": given["optimizer"]} | of_optimizer
        return given

    def build(self, initial_goal: Goal, default: tuple[float, ...] = (-1.0, 1.0)) -> Rules:
        """Build the game with such a θ_0, or the low and then the high goal of the box to draw it from.

        None is `default`, or where goals are vectors the game's own.
        """
        width = 1
        if not issubclass(GAMES[self.rules], ScalarGame):
            game = build_bounded_game(self.given())
            if initial_goal is None:
                return game
            width = game.goal_width
        numbers = default if initial_goal is None else initial_goal
        if len(numbers) not in (width, 2 * width):
            counts = "one number or two" if width == 1 else f"{width} numbers or {2 * width}"
            raise ValueError(f"an initial goal must be {counts}, low then high; got {numbers}")
        parts = [numbers[:width], numbers[width:]] if width > 1 else list(numbers)
        goal = tuple(part for part in parts if part != ())
        return build_bounded_game(self.given() | {"initial_goal": goal if len(goal) > 1 else goal[0]})

    def build_at(self, goal: Goal) -> Rules:
        """Build the game with one θ_0; None is 0.8, or where goals are vectors the game's own."""
        game = self.build(goal, (0.8,))
        if isinstance(game.initial_goal, tuple):
            raise ValueError(f"a game to be shown must have one initial goal; got a range, {goal}")
        return game

"""What `gymnasium.make` and `make_vec` call for one decision against given successors.

Interfaces build on the rules alone. Here, above both interfaces and solutions, a game's oracle can be asked
for by name.
"""

from typing import Any, Literal

from mesa_env.interfaces.decision import BestResponseEnv, BestResponseVectorEnv, Successors
from mesa_env.interfaces.spaces import GivenGame, validate_game
from mesa_env.validation import show

SuccessorsOrName = Successors | Literal["equilibrium"]
"""Successors, or the game's oracle by name."""


def make_best_response(
    game: GivenGame = None, successors: SuccessorsOrName = None, **options: Any
) -> BestResponseEnv:
    """`BestResponseEnv`, whose successors may be "equilibrium"."""
    game, successors = _solve(game, successors)
    return BestResponseEnv(game, successors, **options)


def make_best_responses(
    num_envs: int = 1, game: GivenGame = None, successors: SuccessorsOrName = None, **options: Any
) -> BestResponseVectorEnv:
    """`BestResponseVectorEnv`, whose successors may be "equilibrium"."""
    game, successors = _solve(game, successors)
    return BestResponseVectorEnv(num_envs, game, successors, **options)


def _solve(game: GivenGame, successors: SuccessorsOrName) -> tuple[GivenGame, Successors]:
    """The game and its successors, who are its oracle if that is asked for.

    Raises:
        ValueError: If successors have another name, or the game has no oracle and it is asked for.
    """
    if not isinstance(successors, str):
        return game, successors
    rules = validate_game(game)
    if successors != "equilibrium":
        raise ValueError(
            "successors must be coefficients, an agent with predict, or 'equilibrium' where the game has an "
            f"oracle; got {show(successors)} for {type(rules).__name__}"
        )
    from mesa_env.evaluation.certified_oracle import oracle  # here, since solvers take long to import

    return rules, oracle(rules)

"""What all tests share: Hypothesis profiles, a table of games, and the game once more in plain floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import settings

from mesa_env import (
    AdaptiveOptimizer,
    Decoupling,
    Game,
    GoalTraining,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    Preservation,
    train_then_deploy,
)
from mesa_env.rules import SCALAR_GAMES
from mesa_env.rules.rules import Rules
from mesa_env.rules.scalar import ScalarGame
from mesa_env.worlds import World

settings.register_profile("repeatable", deadline=None, max_examples=60, derandomize=True, database=None)
settings.register_profile("seeded", deadline=None, max_examples=60, database=None)
settings.register_profile("fuzz", deadline=None, max_examples=600, database=None)
settings.load_profile("repeatable")  # the same examples everywhere; make fuzz and .ci/run name the others


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `make faults`."""
    parser.addoption("--faults", type=int, default=1, help="try so many times as many faults as in make test")
    parser.addoption("--faults-table", help="write what was tried, and what failed, to this Markdown file")


GAMES = {
    "post": Game(),
    "short": Game(train_then_deploy(3, 4)),
    "drawn": Game([1, 0.5, 0, 0.25, 0], discount=0.8, regularization=0.1, initial_goal=(-1, 1)),
    "myopic": Game([1, 0, 1], discount=0.0, initial_goal=(0.2, 0.3)),
    "projected": Game(np.ones(6), goal_bound=1.0, coefficient_bound=1.5),
    "single": Game([1.0], discount=0.9, initial_goal=(-2, -1)),
}


class Played(NamedTuple):
    """A game by hand: θ_0…θ_N, y_n, base losses and the mesa costs J_n, as lists of floats."""

    goals: list[float]
    outputs: list[float]
    base_losses: list[float]
    mesa_costs: list[float]


def play_by_hand(game: ScalarGame, coefficients: Sequence[float], goal: float) -> Played:
    """The design's equations with nothing but loops and floats."""
    goals, outputs, base_losses = [goal], [], []
    for rate, c in zip(game.learning_rates.tolist(), coefficients, strict=True):
        y, c = float(c) * goal, float(c)
        outputs.append(y)
        base_losses.append(y**2 + game.regularization * goal**2)
        gradient = 2 * y * c + 2 * game.regularization * goal
        goal = min(max(goal - rate * gradient, -game.goal_bound), game.goal_bound)
        goals.append(goal)
    mesa_costs = [
        sum(game.discount ** (k - n) * (outputs[k] - goals[n]) ** 2 for k in range(n, game.episodes))
        for n in range(game.episodes)
    ]
    return Played(goals, outputs, base_losses, mesa_costs)


@pytest.fixture(scope="session")
def by_hand() -> Callable[[ScalarGame, Sequence[float], float], Played]:
    """`play_by_hand(game, coefficients, goal)`."""
    return play_by_hand


@pytest.fixture(params=list(GAMES))
def game(request: pytest.FixtureRequest) -> ScalarGame:
    """Every game of the table."""
    return GAMES[request.param]


@pytest.fixture
def coefficients(game: ScalarGame) -> np.ndarray:
    """Random float32 actions for every game's episodes, shape (N, 1)."""
    bound = game.coefficient_bound
    return np.random.default_rng(7).uniform(-bound, bound, (game.episodes, 1)).astype(np.float32)


@pytest.fixture
def one_thread():
    """PyTorch on one thread, on which networks this small are fastest."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pygame(monkeypatch):
    """A window that nobody sees, and no waiting for it."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    monkeypatch.setattr(pygame.time, "wait", lambda milliseconds: milliseconds)
    yield pygame
    pygame.display.quit()


def same(ours: Any, theirs: Any) -> bool:
    """Whether two nested structures of arrays are the same, types and all; None included."""
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, tuple | list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(theirs, np.ndarray) and theirs.dtype == object:
        return ours.dtype == object and same(list(ours), list(theirs))
    if isinstance(theirs, np.ndarray):
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and np.array_equal(ours, theirs)
    return bool(ours is theirs or ours == theirs)


def refused(capsys: pytest.CaptureFixture[str], command: Callable[..., object], *arguments: object) -> str:
    """Standard error of a command that must end with exit code 2 before it does any work."""
    with pytest.raises(SystemExit) as exit_:
        command(*arguments)
    assert exit_.value.code == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


ONE_OF_EACH_KIND = {
    "DeceptiveAlignment": Game([1, 0.5, 0, 0.25], 0.9, 0.1),
    "InfiniteHorizon": InfiniteHorizon([1, 0.5, 0.3], discount=0.8, max_episodes=12),
    "Misconception": Misconception([0.3, 0.1, 0.0, 0.0], 0.9),
    "LearnableDiscount": LearnableDiscount([0.3, 0.1, 0.1, 0.0, 0.0]),
    "HiddenDeployment": HiddenDeployment(np.ones(5), hazard=0.3, shift=1.5, discount=0.9),
    "Decoupling": Decoupling([1, 0.5, 0, 0.25], 0.9, 0.1, decoupling=0.3),
    "AdaptiveOptimizer": AdaptiveOptimizer([0.3, 0.2, 0.0, 0.1, 0.0], 0.9, optimizer="Momentum", noise=0.1),
    "Preservation": Preservation([1, 0.5, 0, 0.25], 0.9, 0.1, weight=0.3),
    "GoalTraining": GoalTraining("TableWiping", [0.3, 0.1, 0.0, 0.2, 0.0], 0.5, discount=0.9),
}


def goals_of(game: Rules, *sizes: float) -> np.ndarray:
    """Goals of a game of such sizes, one for each, shape (B,); vectors point in one direction, (B, k)."""
    return np.multiply.outer(sizes, np.linspace(1.0, 2.0, game.goal_width).reshape(game.goal_shape))


every_kind = pytest.mark.parametrize("name", ONE_OF_EACH_KIND)
every_scalar_kind = pytest.mark.parametrize("name", SCALAR_GAMES)


@dataclass(frozen=True)
class Shelf(World):
    """A world of one's own: books are taken from a shelf, and each may be read or sold."""

    books: int = 2

    horizon = 4
    actions = ("take", "read", "sell")
    features = ("read", "sold")

    def start(self):
        return self.books, 0, 0, 0  # on the shelf, in hand, read, sold

    def step(self, state, action):
        shelf, hand, read, sold = state
        if action == "take":
            return (shelf - 1, hand + 1, read, sold) if shelf else state
        if not hand:
            return state
        return (shelf, hand - 1, read + (action == "read"), sold + (action == "sell"))

    def outcome(self, state):
        return state[2:], state[2]

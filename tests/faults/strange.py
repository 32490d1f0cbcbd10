"""Values that hardly anything accepts, and what must hold of what was accepted, for `tests.faults.fuzz`."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import fractions
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import mesa_env
from mesa_env.optimizers import OPTIMIZERS
from mesa_env.rules import SCALAR_GAMES
from tests.conftest import ONE_OF_EACH_KIND

Generator = np.random.Generator


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no name")

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no array")

    def __float__(self) -> float:
        raise OverflowError("no number")


class Garrulous:
    """An agent that answers with what it is made of."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def predict(self, observation: Any, **options: Any) -> Any:
        return self.answer

    def __repr__(self) -> str:
        return f"Garrulous({self.answer})"


class Endless:
    """A sequence of the same entry forever, whatever its length says."""

    def __init__(self, entry: Any) -> None:
        self.entry = entry

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return self.entry

    def __repr__(self) -> str:
        return f"Endless({self.entry})"


class Fickle:
    """An array that is another one whenever it is asked for."""

    asked = 0

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        return np.full(self.asked, 0.5 * self.asked)

    def __repr__(self) -> str:
        return "Fickle()"


# -- Strange values ---------------------------------------------------------------------------------------


def strange(rng: Generator, shape: tuple[int, ...] = ()) -> Any:
    """A value that hardly anything accepts, or a number of a strange type, alone or as an array."""
    kinds = (_strange_number, _strange_array, _strange_object)
    return kinds[rng.integers(len(kinds))](rng, shape)


def _strange_number(rng: Generator, shape: tuple[int, ...]) -> Any:
    numbers: list[Any] = [10**400, -(10**400), 10**5000, 2**70, -(2**63), 1e39, -1e39, 1e308, 5e-324, -0.0]
    numbers += [np.nan, np.inf, -np.inf, True, 1j, 0, -1, 1.5, 1e-9, 2**31, 1e9, None, "1", "abc", b"1", ""]
    numbers += [np.longdouble("1e4000"), np.float16(65504), np.bool_(True), np.datetime64("2020-01-01")]
    numbers += [np.timedelta64(1, "s"), np.complex64(1), decimal.Decimal("0.5"), fractions.Fraction(1, 2)]
    numbers += [np.array(0.5), np.array([0.5]), [0.5], (0.5,), (0.1, 0.2), (0.2, 0.1), ("a", "b"), [None, 1]]
    numbers += [np.ma.masked, datetime.timedelta(1), Hostile(), np.uint64(2**63), np.str_("1")]
    numbers += [np.iinfo(kind).min for kind in (np.int8, np.int64)]
    numbers += [[True, 0.5], (np.True_, 1), np.int8(100), np.uint8(200), 1e-310, np.nextafter(1, 2)]
    value = numbers[rng.integers(len(numbers))]
    if shape and rng.random() < 0.5:
        many = [value] * int(np.prod(shape))
        return many if len(shape) == 1 else [many[: shape[-1]] for _ in range(shape[0])]
    return value


def _strange_array(rng: Generator, shape: tuple[int, ...]) -> Any:
    types: list[Any] = [np.int8, np.int16, np.int32, np.int64]
    least = types[rng.integers(len(types))]
    number = rng.choice([np.nan, np.inf, 1e39, 3.0, 1 + 1e-7, -1 - 1e-7, 0.5])
    other = rng.choice([0, 2, 3])
    ragged: list[Any] = [[0.5, 0.5], [0.5]]
    array = np.full(shape, 0.5)
    choices: list[Callable[[], Any]] = [
        lambda: np.full(shape, np.iinfo(least).min, least),
        lambda: np.full(shape, np.iinfo(least).max, least),
        lambda: np.full(shape, 255, np.uint8),
        lambda: np.full(shape, number),
        lambda: np.full(shape, number, np.float16 if abs(number) < 10 else np.float64),
        lambda: np.full(shape, 0.5, np.longdouble),
        lambda: np.full(shape, 0.5 + 0.5j),
        lambda: np.full(shape, True),
        lambda: np.full(shape, "x"),
        lambda: np.full(shape, None),
        lambda: np.full(shape, "2020-01-01", "datetime64[D]"),
        lambda: np.full(shape, 1, "timedelta64[s]"),
        lambda: np.zeros(shape, [("a", float)]),
        lambda: np.ma.masked_all(shape),
        lambda: np.ma.array(array, mask=np.zeros(shape, bool)),
        lambda: np.zeros((*shape, other)),
        lambda: np.zeros((other, *shape)),
        lambda: np.zeros((*shape[:-1], 0)),
        lambda: array.tolist(),
        lambda: [np.ma.array([0.5], mask=[True])] * max(1, shape[0] if shape else 1),
        lambda: ragged,
        lambda: np.full(shape, 10**400, object),
        lambda: np.full(shape, 0.5, ">f4"),
        lambda: np.full((*shape, 2), 0.5, order="F")[..., 0],
        lambda: np.broadcast_to(np.int8(1), (10**9, 10**3, *shape)),
        lambda: memoryview(np.full((*shape, 1), 0.5)),
        lambda: pd.Series(array.ravel()),
        lambda: pd.DataFrame(array.reshape(-1, 1)),
        lambda: pd.Series([1, None], dtype="Int64"),
        lambda: _tensor(shape, False).to_sparse(),
        lambda: _tensor(shape, False).bfloat16(),
        lambda: _tensor(shape, True),
        lambda: _tensor(shape, False),
        lambda: np.broadcast_to(np.float32(0.5), shape),
        lambda: np.full(shape, np.float32(0.5))[..., ::-1] if shape else np.float32(0.5),
    ]
    return choices[rng.integers(len(choices))]()


def _tensor(shape: tuple[int, ...], grad: bool) -> Any:
    import torch

    return torch.full(shape, 0.5, requires_grad=grad)


def _strange_object(rng: Generator, shape: tuple[int, ...]) -> Any:
    endless: list[Any] = []
    endless.extend([endless] * 3)
    things: list[Any] = [None, {}, {"a": 1}, set(), {0.5}, object(), Hostile(), int, len, lambda: 0, ...]
    things += [
        iter([0.5]),
        range(3),
        range(0),
        deque([0.5]),
        memoryview(b"ab"),
        endless,
        [[[[0.5]]]],
        "é" * 999,
    ]
    things += [
        np.random.default_rng(0),
        mesa_env.Game(),
        mesa_env.Game,
        [Hostile()],
        (),
        [],
        "a\nb",
        slice(1),
        range(10**12),
        Endless(0.5),
        Endless(Endless(0.5)),
        Fickle(),
    ]
    things += [Garrulous(None), Garrulous((None, None)), Garrulous(([[9.0]], None)), np.array([[1, 2]])]
    things += [np.array([True, False]), np.array(["human", "ansi"]), {"initial_goal": 1}, [1] * 100_000]
    return things[rng.integers(len(things))]


def replaced(rng: Generator, arguments: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Arguments of which one, or sometimes two, are strange; an argument's strange arrays have its shape."""
    several = 1 + (rng.random() < 0.2)
    for name in rng.choice(list(arguments), size=min(several, len(arguments)), replace=False):
        arguments[str(name)] = strange(rng, shapes.get(str(name), ()))
    return arguments


# -- What must hold of what works -------------------------------------------------------------------------


def require(truth: Any, what: str) -> None:
    """Fail, as no refusal does, unless something holds."""
    if not truth:
        raise BrokenError(what)


class BrokenError(Exception):
    """A call that worked and returned what it must not."""


def require_finite(result: Any, but: tuple[str, ...] = ()) -> None:
    """Check every number in nested tuples and mappings, but for those of some names."""
    if isinstance(result, dict):
        for name, value in result.items():
            if name not in but:
                require_finite(value, but)
    elif hasattr(result, "_asdict"):
        require_finite(result._asdict(), but)
    elif isinstance(result, tuple | list):
        for value in result:
            require_finite(value, but)
    elif isinstance(result, np.ndarray) and result.dtype.kind != "f":
        return
    elif isinstance(result, float | np.ndarray) and not np.isfinite(result).all():
        raise BrokenError(f"not finite: {result!r}")


def require_acceptable(action: Any, bound: Any) -> None:
    """Check that an action that was accepted is a real number within its bound, by plain arithmetic."""
    require(not np.ma.is_masked(action), "a masked action was accepted")
    for part in np.asarray(action, dtype=np.float64).reshape(-1, len(bound)).tolist():
        for number, most in zip(part, bound, strict=True):
            require(abs(number) <= most * (1 + 1e-6), f"{number!r} was accepted beyond ±{most}")


def any_game(rng: Generator) -> tuple[str, Any]:
    """The name and a small game of a random kind, of those whose goal is a number."""
    name = str(rng.choice(list(SCALAR_GAMES)))
    return name, ONE_OF_EACH_KIND[name]


def plain_parameters(rng: Generator, name: str) -> dict[str, Any]:
    """Some legal parameters of a kind of game, from the mild to the extreme."""
    wild = rng.random() < 0.5
    size = (lambda: float(10.0 ** rng.uniform(-30, 30))) if wild else (lambda: float(rng.uniform(0.1, 3)))
    bound = size()
    chosen: dict[str, Any] = {
        "learning_rates": rng.choice([0.0, size(), size()], size=rng.integers(1, 5)),
        "discount": float(rng.choice([0.0, 0.5, 0.99])),
        "regularization": float(rng.choice([0.0, size()])),
        "coefficient_bound": size(),
        "goal_bound": bound,
        "initial_goal": bound * float(rng.uniform(-1, 1)),
    }
    own: dict[str, dict[str, Any]] = {
        "InfiniteHorizon": {"max_episodes": int(rng.integers(5, 12)), "ends": bool(rng.integers(2))},
        "Misconception": {"belief_learning_rate": size(), "initial_belief": bound * 0.5},
        "LearnableDiscount": {"discount_learning_rate": size()},
        "HiddenDeployment": {
            "hazard": 0.3,
            "shift": size(),
            "observed": str(rng.choice(["belief", "signal"])),
        },
        "Decoupling": {"decoupling": size()},
        "AdaptiveOptimizer": {
            "optimizer": str(rng.choice(list(OPTIMIZERS))),
            "noise": float(rng.choice([0.0, size()])),
        },
        "Preservation": {"weight": float(rng.choice([0.0, rng.random(), 1.0]))},
    }
    return chosen | own.get(name, {})


_LONG = 40


def _shorten(game: Any) -> dict[str, Any]:
    """Parameters of the same game with few episodes."""
    if isinstance(game, mesa_env.InfiniteHorizon):
        return {"learning_rates": game.learning_rates[:_LONG], "max_episodes": _LONG}
    return {"learning_rates": game.learning_rates[:_LONG]}


def require_playable(game: Any) -> None:
    """Play a game at its bounds, and check that everything stays finite and is observed within the space.

    Of a long game, the beginning is played.
    """
    if game.episodes > _LONG:
        game = dataclasses.replace(game, **_shorten(game))
    env = mesa_env.raw_env(game=game)
    env.reset(seed=0)
    bound = game.action_bound.astype(np.float32)
    for n in range(game.episodes):
        if env.terminations[env.agent_selection] or env.truncations[env.agent_selection]:
            break
        seat = env.agent_selection
        observation, *_ = env.last()
        require(env.observation_space(seat).contains(observation), f"observed {observation!r}")
        env.step(bound * (-1) ** n)
        require_finite(env.infos[seat])
        require_finite(env.rewards)
    require_finite(env.state())

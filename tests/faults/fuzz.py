"""A fuzzer of whatever users pass into the library: every call works, or refuses in one clear sentence.

    python -m tests.faults.fuzz --calls 2000 --seed 0

makes that many calls per interface, each with legal arguments of which one or two are replaced by strange
ones, and prints what each interface did with them; the exit status is 1 if any call broke the invariant:

- it works, and what it returns is finite and within the bounds that it is checked against; or
- it raises one of `REFUSALS` with one line that says what is allowed, in no other library's words.

The same seed makes the same calls.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

import mesa_env
from agents import names
from mesa_env.entry_points import make_best_response
from mesa_env.evaluation import statistics
from mesa_env.interfaces.control import ControlEnv
from mesa_env.solutions.decoupling import solve_decoupling
from mesa_env.solutions.hidden_deployment import solve_hidden, solve_memoryless
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import solve_misconception
from mesa_env.solutions.parameter_maps import equilibrium_map
from tests.conftest import ONE_OF_EACH_KIND
from tests.faults import fuzz_worlds
from tests.faults.strange import (
    BrokenError,
    any_game,
    plain_parameters,
    replaced,
    require,
    require_acceptable,
    require_finite,
    require_playable,
    strange,
)

REFUSALS = (ValueError, TypeError, ResetNeeded)
FOREIGN = re.compile(
    r"setting an array element|inhomogeneous|is not iterable|could not convert|broadcast together|truth value"
    r"|ufunc|unsupported operand|has no attribute|subscriptable|unhashable|invalid literal|string conversion"
    r"|cannot convert|can't convert|Can't call|out of bounds|Unable to allocate|too large|positional argument"
    r"|keyword argument|must be real number|__|dtype\(|unpack|not supported between|not callable|length-1"
    r"|0-dimensional|size-1|cannot be interpreted|zero-size|reshape|object of type|maximum recursion"
)
"""What Python, NumPy and PyTorch say where nobody has checked what they are given."""

Generator = np.random.Generator


# -- Interfaces -------------------------------------------------------------------------------------------


def construct(rng: Generator) -> None:
    name, _ = any_game(rng)
    parameters = plain_parameters(rng, name)
    if rng.random() < 0.8:
        parameters = replaced(rng, parameters, {"learning_rates": (3,)})
    require_playable(mesa_env.GAMES[name](**parameters))


def schedule(rng: Generator) -> None:
    arguments = replaced(rng, {"train": 2, "deploy": 3, "learning_rate": 1.0}, {})
    require_finite(mesa_env.train_then_deploy(**arguments))


def make(rng: Generator) -> None:
    name, game = any_game(rng)
    form = rng.integers(4)
    arguments: dict[str, Any] = {"game": game, "render_mode": None}
    if form == 0:
        made: Any = mesa_env.env(**replaced(rng, arguments | {"rules": name}, {}))
    elif form == 1:
        given = replaced(rng, arguments | {"judge": "initial", "rules": name}, {})
        made = ControlEnv(**given)  # gymnasium.make asks for more of a render mode than that it is named
    elif form == 2:
        more = {"judge": "current", "num_envs": 3, "autoreset_mode": "NextStep"}
        made = gymnasium.make_vec(f"mesa_env/{name}-v0", **replaced(rng, arguments | more, {}))
    else:
        more = {"successors": np.full(game.episodes, 0.5)}
        given = replaced(rng, arguments | more, {"successors": (game.episodes,)})
        made = make_best_response(**given)
    made.reset(seed=0)


def best_response_episode(rng: Generator) -> None:
    _, game = any_game(rng)
    successors = strange(rng, (game.episodes,)) if rng.random() < 0.7 else None
    kind = rng.integers(2)
    many: dict[str, Any] = {"num_envs": 3} if kind else {}
    build: Any = gymnasium.make_vec if kind else gymnasium.make
    env = build("mesa_env/BestResponse-v0", game=game, successors=successors, **many)
    env.reset(seed=int(rng.integers(99)))
    batch = (3,) if kind else ()
    shape = (*batch, len(game.action_bound))
    require_finite(env.step(np.full(shape, 0.5, np.float32))[1])
    action = strange(rng, shape)
    env.reset(seed=1)
    env.step(action)
    require_acceptable(action, game.action_bound)


def step(rng: Generator) -> None:
    name, game = any_game(rng)
    form, parts = rng.integers(3), len(game.action_bound)
    if form == 2:
        vector: Any = gymnasium.make_vec(f"mesa_env/{name}-v0", num_envs=3, game=game)
        vector.reset(seed=0)
        action = strange(rng, (3, parts))
        _check_step(vector, action, game)
        return
    env: Any = mesa_env.raw_env(game=game) if form == 0 else gymnasium.make(f"mesa_env/{name}-v0", game=game)
    env.reset(seed=0)
    action = strange(rng, (parts,))
    _check_step(env.unwrapped, action, game)


def _check_step(env: Any, action: Any, game: Any) -> None:
    """A refused action leaves the game where it was; one that is accepted is legal."""
    legal = np.zeros(
        getattr(env, "action_space", env).shape if hasattr(env, "num_envs") else len(game.action_bound)
    )
    try:
        answer = env.step(action)
    except REFUSALS:
        env.step(legal)
        raise
    require_acceptable(action, game.action_bound)
    require_finite(answer)


def clip(rng: Generator) -> None:
    """Actions a rounding step outside any bound are brought back; ones clearly outside are refused."""
    bound = float(10 ** rng.uniform(-6, 6))
    game = mesa_env.Game([1.0, 0.5, 0.0], coefficient_bound=bound)
    kind = rng.choice([np.float32, np.float64])
    outside = np.array([bound], kind)
    for _ in range(int(rng.integers(0, 4))):
        outside = np.nextafter(outside, kind(np.inf), dtype=kind)
    sign = rng.choice([-1, 1])
    accepted = game.validate_actions(sign * outside, ())
    require(abs(float(accepted[0])) <= max(bound, float(np.float32(bound))), "an action was not clipped")
    game.validate_actions(sign * outside * kind(1 + 1e-5), ())
    raise BrokenError(f"{outside} was accepted, far beyond ±{bound}")


def reset(rng: Generator) -> None:
    name, game = any_game(rng)
    form = rng.integers(3)
    if form == 2:
        env: Any = gymnasium.make_vec(f"mesa_env/{name}-v0", num_envs=3, game=game)
        options: dict[str, Any] = {"initial_goal": 0.5, "reset_mask": np.array([True, False, True])}
    else:
        env = (
            mesa_env.raw_env(game=game)
            if form == 0
            else gymnasium.make(f"mesa_env/{name}-v0", game=game).unwrapped
        )
        options = {"initial_goal": 0.5}
    env.reset(seed=0)
    before = env._state
    given = replaced(rng, {"seed": 0, "options": options}, {})
    if given["options"] is options:
        given["options"] = replaced(rng, options, {"initial_goal": (3,), "reset_mask": (3,)})
    try:
        answer = env.reset(**given)
    except REFUSALS:
        require(env._state is before, "a refused reset changed the game")
        raise
    if isinstance(given["options"], dict) and given["options"].get("initial_goal") is not None:
        require_acceptable(given["options"]["initial_goal"], [game.goal_bound])
    require_finite(answer)


def order(rng: Generator) -> None:
    """Methods before the first reset, after the end, and of agents that there are not."""
    _, game = any_game(rng)
    env: Any = mesa_env.raw_env(game=game)
    played = rng.random() < 0.5
    if played:
        env.reset(seed=0)
        for seat in env.agent_iter():
            over = env.terminations[seat] or env.truncations[seat]
            env.step(None if over else np.zeros(len(game.action_bound)))
    seat = strange(rng) if rng.random() < 0.5 else "episode_0"
    called: list[Callable[[], Any]] = [
        env.last,
        env.state,
        lambda: env.step(None),
        lambda: env.observe(seat),
        lambda: env.action_space(seat),
        lambda: env.observation_space(seat),
    ]
    called[rng.integers(len(called))]()


def coefficients(rng: Generator) -> None:
    game = ONE_OF_EACH_KIND["DeceptiveAlignment"]
    functions: list[Any] = [mesa_env.exploitability, mesa_env.relative_exploitability, mesa_env.nash_conv]
    functions += [mesa_env.best_responses, mesa_env.unit_sums]
    profile = np.full(game.episodes, 0.5)
    chosen, arguments = rng.integers(len(functions) + 1), {"game": game, "coefficients": profile}
    if chosen == len(functions):
        arguments |= {"episode": 2}
    given = replaced(rng, arguments, {"coefficients": (game.episodes,)})
    result = [*functions, mesa_env.best_response][chosen](**given)
    require_finite(result)
    if given["coefficients"] is not profile:
        require_acceptable(np.asarray(given["coefficients"]).reshape(-1, 1), [2.0])


def solve(rng: Generator) -> None:
    _, game = any_game(rng)
    if rng.random() < 0.5:
        arguments = {"learning_rates": np.ones((2, 3)), "discount": 0.9, "regularization": np.zeros(2)}
        shapes: dict[str, tuple[int, ...]] = {
            "learning_rates": (2, 3),
            "discount": (2,),
            "regularization": (2,),
        }
        require_finite(
            mesa_env.solve_equilibria(**replaced(rng, arguments | {"coefficient_bound": 2.0}, shapes))
        )
        return
    if rng.random() < 0.3:
        numbers = {"train": 2, "deploy": 3, "learning_rate": 1.0, "discount": 0.9, "regularization": 0.0}
        shapes = dict.fromkeys(numbers, (2,))
        equilibrium_map(**replaced(rng, numbers | {"coefficient_bound": 2.0}, shapes))  # NaN is documented
        return
    solvers: list[Any] = [mesa_env.solve_equilibrium, mesa_env.grid_search, mesa_env.oracle, solve_decoupling]
    solvers += [solve_infinite_horizon, solve_hidden, solve_memoryless, ForeseeingPlanner]
    solvers += [lambda game: solve_misconception(game, angles=64, proposals=21)]
    solver = solvers[rng.integers(len(solvers))]
    solver(game if rng.random() < 0.5 else strange(rng))


def oracles(rng: Generator) -> None:
    """Oracles of legal games, from the mild to the extreme, play finite actions within the bounds."""
    name, _ = any_game(rng)
    game: Any = mesa_env.GAMES[name](**plain_parameters(rng, name))
    agent = mesa_env.oracle(game)
    game = mesa_env.rules.infinite_horizon.with_fixed_length(game)
    played = mesa_env.rollout(game, agent, [game.goal_bound / 2, 0.0])
    require_finite(played.coefficients)
    require((np.abs(played.actions) <= game.action_bound * (1 + 1e-6)).all(), "an action is beyond its bound")
    require_finite(played.outputs)
    audited = mesa_env.audit(game, agent, played)
    require(not np.isnan(audited.gains).any() and (audited.gains >= 0).all(), f"gains {audited.gains}")


def evaluate(rng: Generator) -> None:
    _, game = any_game(rng)
    game = mesa_env.rules.infinite_horizon.with_fixed_length(game)
    agent = names.make("myopic", game)
    form = rng.integers(5)
    if form == 0:
        arguments: dict[str, Any] = {"game": game, "agent": agent, "initial_goal": 0.5, "generator": None}
        arguments["deterministic"] = True
        played = mesa_env.rollout(**replaced(rng, arguments, {"initial_goal": (3,)}))
        require_finite(played.outputs)
    elif form == 1:
        arguments = {"game": game, "contestants": {"a": agent}, "initial_goals": [0.5, 0.2], "seed": 0}
        mesa_env.compare(**replaced(rng, arguments, {"initial_goals": (3,)}))
    elif form == 2:
        arguments = {"game": game, "agent": agent, "played": mesa_env.rollout(game, agent, 0.5)}
        mesa_env.audit(**replaced(rng, arguments, {}))
    elif form == 3:
        mesa_env.play(**replaced(rng, {"env": mesa_env.raw_env(game=game), "agent": agent, "seed": 1}, {}))
    else:
        arguments = {"game": game, "agent": agent, "played": mesa_env.rollout(game, agent, [0.5, 0.2])}
        mesa_env.audit_by_simulation(**replaced(rng, arguments | {"proposals": 5, "zooms": 1}, {}))


def measure(rng: Generator) -> None:
    _, game = any_game(rng)
    game = mesa_env.rules.infinite_horizon.with_fixed_length(game)
    agent = names.make("myopic", game)
    if rng.random() < 0.5:
        played = mesa_env.rollout(game, agent, 0.5)
        arguments = {"game": game, "played": played, "audited": mesa_env.audit(game, agent, played)}
        mesa_env.measure(**replaced(rng, arguments, {}))  # NaN is documented
        return
    games = mesa_env.compare(game, {"a": agent, "b": [agent, agent]}, [0.5, 0.2])
    arguments = {"games": games, "confidence": 0.9}
    if rng.random() < 0.5:
        arguments["games"] = replaced(rng, games, dict.fromkeys(games, (6,)))
    else:
        arguments = replaced(rng, arguments, {})
    mesa_env.summarize(**arguments)


def summarize_runs(rng: Generator) -> None:
    """The statistics of runs; a band or an estimate may be NaN, as they document."""
    runs, times = rng.random((5, 4)), np.arange(1.0, 5.0)
    row, rows = {"values": (4,)}, {"values": (5, 4)}
    calls: list[tuple[Callable[..., Any], dict[str, Any], dict[str, tuple[int, ...]]]] = [
        (statistics.interquartile_mean, {"values": runs, "axis": 0}, rows),
        (statistics.finite, {"values": runs}, rows),
        (
            lambda values, others: statistics.estimate(values, others),
            {"values": runs[0], "others": runs[1]},
            row,
        ),
        (statistics.band, {"values": runs}, rows),
        (statistics.profile, {"strata": [runs[0], runs[1]], "thresholds": times}, {"thresholds": (4,)}),
        (
            lambda times, values, points: statistics.on_common_grid([(times, values)] * 2, points),
            {"times": times, "values": runs[0], "points": 3},
            row | {"times": (4,)},
        ),
        (statistics.on_common_grid, {"curves": [(times, runs[0])], "points": 3}, {}),
        (
            statistics.first_time,
            {"times": times, "values": runs[0], "threshold": 0.5},
            row | {"times": (4,)},
        ),
        (statistics.shortest_half, {"weights": runs[0]}, {"weights": (4,)}),
    ]
    function, arguments, shapes = calls[rng.integers(len(calls))]
    function(**replaced(rng, arguments, shapes))


def make_agent(rng: Generator) -> None:
    _, game = any_game(rng)
    names.make(**replaced(rng, {"name": "guard", "game": game, "seed": 0}, {}))


def predict(rng: Generator) -> None:
    name, game = any_game(rng)
    if name == "HiddenDeployment" and rng.random() < 0.5:
        game = mesa_env.HiddenDeployment(np.ones(5), observed="signal")
    known = [*(names.NAMES if name == "DeceptiveAlignment" else names.VARIANT_NAMES)]
    known += ["naive"] * (name == "LearnableDiscount")
    known += ["filtering"] * (getattr(game, "observed", "") == "signal") * 5
    agent = names.make(str(rng.choice(known)), game)
    state = game.start(np.full((3, game.n_uniforms), 0.5))
    rows = game.observe(state)
    actions, memory = agent.predict(rows)
    later = game.observe(game.play(state, actions)[0])
    arguments = {"observation": later, "state": memory, "episode_start": np.zeros(3, bool)}
    shapes = {"observation": later.shape, "state": np.shape(memory), "episode_start": (3,)}
    given = replaced(rng, arguments, shapes)
    actions, _ = agent.predict(**given)
    require_finite(actions)
    require((np.abs(actions) <= game.action_bound * (1 + 1e-6)).all(), "an action is beyond its bound")


INTERFACES: dict[str, Callable[[Generator], None]] = {
    "constructors": construct,
    "train_then_deploy": schedule,
    "make": make,
    "BestResponse": best_response_episode,
    "step": step,
    "clip": clip,
    "reset": reset,
    "order": order,
    "coefficients": coefficients,
    "solve": solve,
    "oracles": oracles,
    "evaluate": evaluate,
    "measure": measure,
    "statistics": summarize_runs,
    "agents.make": make_agent,
    "predict": predict,
    **fuzz_worlds.INTERFACES,
}


# -- Calls ------------------------------------------------------------------------------------------------


def verdict(call: Callable[[Generator], None], rng: Generator) -> tuple[str, str]:
    """Whether one call "works" or is "refused", as it may; or is "broken", and how."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings(
                "ignore", category=UserWarning, module="mesa_env|gymnasium|tests|__main__"
            )
            warnings.filterwarnings("ignore", message="the goal leaves|goal or belief reach|this audit takes")
            call(rng)
    except REFUSALS as refusal:
        said = str(refusal)
        foreign = FOREIGN.search(said)
        if "\n" in said or foreign or len(said) > 600:
            return "broken", f"{type(refusal).__name__}: {said[:300]!r} at {_place(refusal)}"
        return "refused", said
    except Exception as failure:
        return "broken", f"{type(failure).__name__}: {str(failure)[:300]!r} at {_place(failure)}"
    return "works", ""


def _place(failure: BaseException) -> str:
    frames = traceback.extract_tb(failure.__traceback__)
    own = [frame for frame in frames if "mesa_env" in frame.filename or "agents" in frame.filename]
    frame = (own or list(frames))[-1]
    return f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}"


def run(
    calls: int, seed: int, interfaces: dict[str, Any] = INTERFACES
) -> Iterator[tuple[str, str, str, int]]:
    """Interface, verdict, what was said, and the number of the call, of as many calls per interface."""
    for name, call in interfaces.items():
        for number in range(calls):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
            yield name, *verdict(call, rng), number


def main() -> int:
    """Make the calls, and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=2000, help="calls per interface")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(INTERFACES), action="append", help="these interfaces alone")
    arguments = parser.parse_args()
    chosen = {name: INTERFACES[name] for name in arguments.only or INTERFACES}
    counts: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    shown: Counter[str] = Counter()
    for name, came_of_it, said, number in run(arguments.calls, arguments.seed, chosen):
        counts[name][came_of_it] += 1
        if came_of_it == "broken":
            shown[said[-60:]] += 1
            if shown[said[-60:]] <= 2:
                print(f"{name}, call {number}: {said}", file=sys.stderr)
    print(f"{'interface':20}{'calls':>8}{'works':>8}{'refused':>9}{'broken':>8}")
    for name, count in counts.items():
        row = f"{count.total():8}{count['works']:8}{count['refused']:9}{count['broken']:8}"
        print(f"{name:20}{row}")
    return int(any(count["broken"] for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())

"""Games for studying deceptive alignment, as PettingZoo and Gymnasium environments, solved exactly.

`Game` is the base game; the other games are its siblings in `mesa_env.rules`. Importing this package
registers their environments:

| registry   | id                               | what it is                                               |
| ---------- | -------------------------------- | -------------------------------------------------------- |
| PettingZoo | `mesa_env/DeceptiveAlignment-v0` | the game: one agent per episode, each with its own goal  |
| Gymnasium  | `mesa_env/DeceptiveAlignment-v0` | one controller plays every episode, paid by one judge    |
| Gymnasium  | `mesa_env/BestResponse-v0`       | one decision of one agent against given successors       |
| Gymnasium  | `mesa_env/World-v0`              | a world, step by step, paid by its base return           |

The first two exist for every game in `GAMES`, such as `mesa_env/Misconception-v0`; the third takes any game.
The fourth takes any world; those in `worlds.WORLDS` have ids of their own, such as `mesa_env/TableWiping-v0`.
Solutions and evaluation are imported when they are first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

import gymnasium
import pettingzoo

from mesa_env import optimizers
from mesa_env.interfaces.aec import env, raw_env
from mesa_env.rules import (
    GAMES,
    AdaptiveOptimizer,
    Decoupling,
    Game,
    GoalTraining,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    Outcome,
    Preservation,
    State,
    train_then_deploy,
)
from mesa_env.worlds import WORLDS

if TYPE_CHECKING:
    from mesa_env import laws
    from mesa_env.evaluation.audits import audit, audit_by_simulation
    from mesa_env.evaluation.certified_oracle import oracle
    from mesa_env.evaluation.gains import Audit, exploitability, nash_conv, relative_exploitability
    from mesa_env.evaluation.metrics import METRICS, compare, measure, summarize
    from mesa_env.evaluation.trajectory import Trajectory, play, rollout
    from mesa_env.solutions.equilibrium import (
        best_response,
        best_responses,
        solve_equilibria,
        solve_equilibrium,
        unit_sums,
    )
    from mesa_env.solutions.grid import grid_search

__version__ = "0.1.0"

__all__ = ["GAMES", "AdaptiveOptimizer", "Decoupling", "Game", "GoalTraining", "HiddenDeployment"]
__all__ += ["InfiniteHorizon", "LearnableDiscount", "Misconception", "Outcome", "Preservation", "State"]
__all__ += ["env", "optimizers", "raw_env", "train_then_deploy"]
__all__ += ["METRICS", "Audit", "Trajectory", "audit", "audit_by_simulation", "best_response"]
__all__ += ["best_responses", "compare", "exploitability", "grid_search", "laws", "measure", "nash_conv"]
__all__ += ["oracle", "play", "relative_exploitability", "rollout", "solve_equilibria", "solve_equilibrium"]
__all__ += ["summarize", "unit_sums"]

_MODULES = {
    "evaluation.audits": "audit audit_by_simulation",
    "evaluation.certified_oracle": "oracle",
    "evaluation.gains": "Audit exploitability nash_conv relative_exploitability",
    "evaluation.metrics": "METRICS compare measure summarize",
    "evaluation.trajectory": "Trajectory play rollout",
    "solutions.equilibrium": "best_response best_responses solve_equilibria solve_equilibrium unit_sums",
    "solutions.grid": "grid_search",
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """A name of a module, or the laws, imported on first use."""
    if name == "laws":
        return importlib.import_module("mesa_env.laws")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"mesa_env.{_MODULE_OF[name]}"), name)


for _rules in GAMES:
    _id = f"mesa_env/{_rules}-v0"
    pettingzoo.register("aec", _id, "mesa_env.interfaces.aec:env", kwargs={"rules": _rules})
    gymnasium.register(
        _id,
        entry_point="mesa_env.interfaces.control:ControlEnv",
        vector_entry_point="mesa_env.interfaces.control:ControlVectorEnv",
        kwargs={"rules": _rules},
    )
gymnasium.register(
    "mesa_env/BestResponse-v0",
    entry_point="mesa_env.entry_points:make_best_response",
    vector_entry_point="mesa_env.entry_points:make_best_responses",
)
_world_env = "mesa_env.interfaces.world_env:WorldEnv"
gymnasium.register("mesa_env/World-v0", entry_point=_world_env)
for _kind in WORLDS:
    gymnasium.register(f"mesa_env/{_kind}-v0", entry_point=_world_env, kwargs={"kind": _kind})

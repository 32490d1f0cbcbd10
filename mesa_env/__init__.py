"""Games for studying deceptive alignment, as PettingZoo and Gymnasium environments.

`Game` holds the rules and their parameters, and its subclasses those of its variants; importing this package
registers their environments:

| registry   | id                               | what it is                                               |
| ---------- | -------------------------------- | -------------------------------------------------------- |
| PettingZoo | `mesa_env/DeceptiveAlignment-v0` | the game: one agent an episode, each with its own goal   |
| Gymnasium  | `mesa_env/DeceptiveAlignment-v0` | one controller plays every episode, paid by one judge    |
| Gymnasium  | `mesa_env/BestResponse-v0`       | one decision of one agent against given successors       |

The first two exist for every variant in `GAMES` as well, such as `mesa_env/Misconception-v0`; these and the
third also take any variant as their `game`.
"""

import gymnasium
import pettingzoo

from mesa_env.interfaces.aec import env, raw_env
from mesa_env.rules import (
    GAMES,
    Decoupling,
    Game,
    HiddenDeployment,
    InfiniteHorizon,
    LearnableDiscount,
    Misconception,
    Outcome,
    State,
    train_then_deploy,
)

__all__ = [
    "GAMES",
    "Decoupling",
    "Game",
    "HiddenDeployment",
    "InfiniteHorizon",
    "LearnableDiscount",
    "Misconception",
    "Outcome",
    "State",
    "env",
    "raw_env",
    "train_then_deploy",
]

for _rules in GAMES:
    pettingzoo.register(
        "aec", f"mesa_env/{_rules}-v0", "mesa_env.interfaces.aec:env", kwargs={"rules": _rules}
    )
    gymnasium.register(
        f"mesa_env/{_rules}-v0",
        entry_point="mesa_env.interfaces.control:ControlEnv",
        vector_entry_point="mesa_env.interfaces.control:ControlVectorEnv",
        kwargs={"rules": _rules},
    )
gymnasium.register(
    "mesa_env/BestResponse-v0",
    entry_point="mesa_env.interfaces.best_response:BestResponseEnv",
    vector_entry_point="mesa_env.interfaces.best_response:BestResponseVectorEnv",
)

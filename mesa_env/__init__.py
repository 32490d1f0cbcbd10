"""Games for studying deceptive alignment, as PettingZoo and Gymnasium environments.

`Game` holds the rules and their parameters; importing this package registers its environments:

| registry   | id                               | what it is                                               |
| ---------- | -------------------------------- | -------------------------------------------------------- |
| PettingZoo | `mesa_env/DeceptiveAlignment-v0` | the game: one agent an episode, each with its own goal   |
| Gymnasium  | `mesa_env/DeceptiveAlignment-v0` | one controller plays every episode, paid by one judge    |
| Gymnasium  | `mesa_env/BestResponse-v0`       | one decision of one agent against given successors       |
"""

import gymnasium
import pettingzoo

from mesa_env.interfaces.aec import env, raw_env
from mesa_env.rules.game import Game, Outcome, State, train_then_deploy

__all__ = ["Game", "Outcome", "State", "env", "raw_env", "train_then_deploy"]

pettingzoo.register("aec", "mesa_env/DeceptiveAlignment-v0", "mesa_env.interfaces.aec:env")
gymnasium.register(
    "mesa_env/DeceptiveAlignment-v0",
    entry_point="mesa_env.interfaces.control:ControlEnv",
    vector_entry_point="mesa_env.interfaces.control:ControlVectorEnv",
)
gymnasium.register(
    "mesa_env/BestResponse-v0",
    entry_point="mesa_env.interfaces.best_response:BestResponseEnv",
    vector_entry_point="mesa_env.interfaces.best_response:BestResponseVectorEnv",
)

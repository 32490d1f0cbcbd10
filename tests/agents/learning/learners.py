"""Short games, tiny settings and callbacks that the tests of learners share."""

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.learning.settings import PPOSettings
from agents.learning.training import Training
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

SHORT = {
    "DeceptiveAlignment": Game([1, 0.5, 0, 0.25], 0.9, initial_goal=(-1, 1)),
    "InfiniteHorizon": InfiniteHorizon([1, 0.5], discount=0.5, max_episodes=8, initial_goal=(-1, 1)),
    "Misconception": Misconception([0.3, 0.1, 0.0], initial_goal=(-1, 1), initial_belief=(-0.5, 0.5)),
    "LearnableDiscount": LearnableDiscount([0.1, 0.1, 0.0], discount=(0.3, 0.9), initial_goal=(-1, 1)),
    "HiddenDeployment": HiddenDeployment(np.ones(4), hazard=0.3, shift=1.5, initial_goal=(-1, 1)),
    "Decoupling": Decoupling([1, 0.5, 0.0], initial_goal=(-1, 1)),
    "AdaptiveOptimizer": AdaptiveOptimizer([0.3, 0.2, 0.0], initial_goal=(-1, 1), optimizer="Momentum"),
    "Preservation": Preservation([1, 0.5, 0.0], initial_goal=(-1, 1)),
    "GoalTraining": GoalTraining("TableWiping", [0.3, 0.1, 0.0], 0.5, initial_goal=((-1, 0), (1, 2))),
}
SIGNAL = HiddenDeployment(np.ones(4), hazard=0.3, shift=1.5, observed="signal", initial_goal=(-1, 1))

SMALL = Game(learning_rates=train_then_deploy(2, 2), initial_goal=(-1, 1))
SIX_ROLLOUTS = PPOSettings(turns=16 * 6, games=4, epochs=2, minibatches=2, hidden=8)  # of SMALL


def tiny(game, rollouts=2, **changes):
    parameters = {"games": 16, "epochs": 1, "minibatches": 2, "hidden": 8} | changes
    return PPOSettings(turns=parameters["games"] * game.episodes * rollouts, **parameters)


def train(game, settings, seed=0, problem="self-play", callbacks=()):
    return Training(game, settings, seed, problem).run(callbacks)


class Recorder(BaseCallback):
    """Keeps the noise of every rollout, and what it was trained with."""

    def __init__(self):
        super().__init__()
        self.noises, self.buffers = [], []

    def _on_rollout_start(self):
        continuous = hasattr(self.model.policy, "log_std")
        self.noises.append(self.model.policy.log_std.exp().item() if continuous else self.model.ent_coef)

    def _on_rollout_end(self):
        buffer, names = self.model.rollout_buffer, ("observations", "actions", "returns", "advantages")
        self.buffers.append({name: getattr(buffer, name).copy() for name in names})

    def _on_step(self):
        return True


def record(game, settings, seed=0):
    """What a training recorded."""
    recorder = Recorder()
    train(game, settings, seed, callbacks=[recorder])
    return recorder


class Interruption(BaseCallback):
    """Stops the training as Ctrl-C would, in the middle of a rollout."""

    def __init__(self, turns):
        super().__init__()
        self.turns = turns

    def _on_step(self):
        if self.num_timesteps >= self.turns:
            raise KeyboardInterrupt
        return True

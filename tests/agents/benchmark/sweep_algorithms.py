"""Algorithms that a user might bring to a sweep: fast ones, and ones that fail."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import torch

import mesa_env
from mesa_env.agent import Profile


def near_oracle(game, turns, seed, watch, *, stretch=1.0):
    """Play the equilibrium with an error drawn from the seed, which shrinks with the turns."""
    error = np.random.default_rng(seed).normal(0, 0.1, game.episodes)
    for part in (0.25, 0.5, 0.75):
        watch(
            int(part * turns), Profile(game, stretch * mesa_env.solve_equilibrium(game) + error * (1 - part))
        )
    return Profile(game, stretch * mesa_env.solve_equilibrium(game) + error / turns)


class Network:
    """An agent with weights and a file, whose coefficient is one weight."""

    def __init__(self):
        self.policy = torch.nn.Linear(1, 1)
        with torch.no_grad():
            self.policy.bias += random.random() + np.random.rand()  # noqa: NPY002 - the harness seeds it too

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full((len(observation), 1), np.tanh(float(self.policy.bias.detach()))), state

    def save(self, file):
        torch.save(self.policy.state_dict(), file)


def network(game, turns, seed, watch):
    """Draw weights from the global generators."""
    return Network()


def unsavable(game, turns, seed, watch):
    agent = Network()
    agent.save = full_disk
    return agent


def full_disk(file):
    raise OSError("no space")


def raising(game, turns, seed, watch):
    raise ArithmeticError("diverged")


def exiting(game, turns, seed, watch):
    raise SystemExit("had enough")


def silent(game, turns, seed, watch):
    """Return no agent."""


def killed(game, turns, seed, watch):
    os.kill(os.getpid(), signal.SIGKILL)


def counted(game, turns, seed, watch, *, log, seconds=0.0):
    """Log to a file that a run began, and to another that it ended; sleep in between."""
    name = f"{turns}/{seed} {os.getpid()}\n"
    with Path(f"{log}.began").open("a") as file:
        file.write(name)
    time.sleep(seconds)
    with Path(f"{log}.ended").open("a") as file:
        file.write(name)
    return network(game, turns, seed, watch)

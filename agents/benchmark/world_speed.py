"""Speed of worlds and goal training, beside planning plan by plan, without tables."""

import itertools
from dataclasses import replace

import numpy as np

from agents.benchmark.speed import Measurement, median_seconds
from mesa_env import GoalTraining
from mesa_env.rules.rules import Array
from mesa_env.solutions.goal_training import find_prospects, grow_tree, sweep_diversity
from mesa_env.worlds import WORLDS, TableWiping, World, make_world
from mesa_env.worlds.world import tabulate

_CELLS = 51  # of each axis of the map


def measure_worlds(repeats: int) -> list[Measurement]:
    """Plan tables, the tree of eight training episodes, and the sincere map of diversity and prior."""
    worlds = [make_world(name, deployed=deployed) for name in WORLDS for deployed in (False, True)]
    one, deployed_one = TableWiping(), TableWiping(deployed=True)
    game = GoalTraining(one)
    goals = 2 * np.stack([np.linspace(0, 1, _CELLS), np.linspace(1, 0, _CELLS)], axis=-1)
    sincere = replace(game, pursuits=(1.0,))
    listed = [enumerate_plans(world) for world in (one, deployed_one)]
    all_tables, table, enumerated, tree, plain_tree, whole_map, plain_cell = median_seconds(
        repeats,
        lambda: [tabulate(world) for world in worlds],
        lambda: tabulate(one),
        lambda: enumerate_plans(one),
        lambda: find_prospects(game, grow_tree(game, goals[:1])),
        lambda: solve_plainly(game, listed, goals[0]),
        lambda: sweep_diversity(sincere, goals, np.linspace(0, 1, _CELLS)),
        lambda: solve_plainly(replace(sincere, diversity=0.5), listed, goals[0]),
    )
    cells = f"one cell of {_CELLS**2}, plan by plan: {plain_cell:.1f} s"
    return [
        Measurement("plan table of TableWiping", *_compare(table, "all its plans", enumerated), "–"),
        Measurement("plan tables of all four worlds", f"{all_tables:.2f} s", "–", np.nan, "< 1 s"),
        Measurement("tree oracle, T = 8", *_compare(tree, "plan by plan", plain_tree), "< 1 s"),
        Measurement(
            f"sincere map, {_CELLS} × {_CELLS}",
            f"{whole_map:.1f} s",
            cells,
            _CELLS**2 * plain_cell / whole_map,
            "< 10 s",
        ),
    ]


def _compare(ours: float, what: str, theirs: float) -> tuple[str, str, float]:
    return f"{ours * 1e3:.1f} ms", f"{what}: {theirs:.1f} s", theirs / ours


def enumerate_plans(world: World) -> Array:
    """Features and base return of every sequence of actions, one row each, (A^H, k + 1)."""
    rows = []
    for actions in itertools.product(world.actions, repeat=world.horizon):
        state = world.start()
        for action in actions:
            state = world.step(state, action)
        features, base = world.outcome(state)
        rows.append((*features, base))
    return np.array(rows, dtype=np.float64)


def solve_plainly(game: GoalTraining, plans: list[Array], goal: Array, episode: int = 0) -> Array:
    """Successor features M of the equilibrium from a goal on, one planner and all its plans at a time.

    `plans` are those of the training and of the deployed world. It knows the behavior update alone.
    """
    if episode == game.episodes:
        return np.zeros(len(goal))
    share = game.diversity if game.training[episode] else 1.0
    expected = np.zeros(len(goal))
    for world, weight in enumerate((1 - share, share)):
        if weight:
            options = [_pursue(game, plans, goal, episode, world, pursuit) for pursuit in game.pursuits]
            expected += weight * max(options, key=lambda features: float(goal @ features))
    return expected


def _pursue(
    game: GoalTraining, plans: list[Array], goal: Array, episode: int, world: int, pursuit: float
) -> Array:
    """What one pursuit brings about in an episode and after it; the deployed end of a game is alike."""
    features, base = plans[world][:, :-1], plans[world][:, -1]
    scores = features @ (pursuit * goal + (1 - pursuit) * game.belief) / game.temperature
    odds = np.exp(scores - scores.max())
    odds /= odds.sum()
    mean = odds @ features
    if not game.training[episode:].any():
        return np.asarray(mean * (game.discount ** np.arange(game.episodes - episode)).sum())
    moved = pursuit * (odds * (base - odds @ base)) @ (features - mean) / game.temperature
    after = goal + game.learning_rates[episode] * moved
    return np.asarray(mean + game.discount * solve_plainly(game, plans, after, episode + 1))

"""The equilibrium of goal training, by backward induction over the game tree.

With finitely many pursuits the goals that a game can reach form a finite tree: one branch for every pursuit,
and for every world where that is drawn, in each training episode. In deployment goals stand still. Of its
successors an agent needs their *successor features* alone, M = Σ_j γ^j μ_{n+j}, since its regret is linear in
what they bring about: with goal θ it chooses the pursuit of the largest θ·(μ + γ M). Ties go to the pursuit
that is named first.

This is exact, for every first goal, while the tree has at most `MOST_LEAVES` leaves. Grids over goals do not
converge here, since best responses jump.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.agent import GameAgent
from mesa_env.numerics import Array, announce_work, run_in_blocks
from mesa_env.rules.goal_training import GoalTraining, Lesson
from mesa_env.validation import validate_number

MOST_LEAVES = 10_000_000
"""Leaves of the largest tree that is searched: (pursuits × worlds)^T for T training episodes."""
_AT_ONCE = 1 << 15  # planners whose plans are weighed together
_NODES = 1 << 17  # leaves of trees that are grown together
_STEPS_PER_LEAF = 4  # of announced work, for each outcome of a world's plans


class Branches(NamedTuple):
    """A training episode at every node of a tree of games; B games, m nodes each, W worlds, P pursuits."""

    features: Array
    """μ, shape (B, m, W, P, k)."""
    base_return: Array
    """R, shape (B, m, W, P)."""
    world: tuple[int, ...]
    """The worlds, by index, of which there are W; where it is one, it is the same in all games."""


class Tree(NamedTuple):
    """All that games can come to from a state on, whatever agents choose."""

    goals: list[Array]
    """Goals at the nodes of each level, shape (B, m, k): before each training episode, and after the last."""
    branches: list[Branches]
    """The training episodes left, in order."""
    deployed: list[Array]
    """What each pursuit brings about once deployed, at the nodes of each level, shape (B, m, P, k + 1).

    The last column is the base return. Levels without deployment episodes have shape (B, m, 0, k + 1).
    """


class Prospects(NamedTuple):
    """What is to be expected when all agents best-respond, from the first episode of a tree on."""

    choice: NDArray[np.int64]
    """The pursuits that are chosen at the root, as indices, shape (B, W): in each of its worlds."""
    features: Array
    """M = Σ γ^j μ, discounted from the first episode on, shape (B, k)."""
    training_return: Array
    """Mean base return of the training episodes, shape (B,); NaN if there are none."""
    training_pursuit: Array
    """Mean pursuit in training, shape (B,); NaN if there is none."""
    deployed_return: Array
    """Base return of the last episode, if it is a deployment episode, else NaN; shape (B,)."""
    goal: Array
    """Expected last goal θ_N, shape (B, k)."""


class TreeOracle(GameAgent):
    """The equilibrium of `GoalTraining`, from any state that its agents may see."""

    game: GoalTraining

    def __init__(self, game: GoalTraining) -> None:
        """Prepare to search the trees of `game`.

        Raises:
            ValueError: If its tree has more than `MOST_LEAVES` leaves.
        """
        super().__init__(game)
        self._leaves = count_leaves(game)
        outcomes = sum(len(plans.base) for plans in game.tables)
        announce_work("searching the game tree", float(self._leaves * outcomes * _STEPS_PER_LEAF))

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], None]:
        """Choices in the states that observations show; equal states are searched once."""
        width = self.game.goal_width
        asked = np.column_stack([episode, rows[:, -1] > 0.5, rows[:, :width]])
        states, index = np.unique(asked, axis=0, return_inverse=True)
        choices = np.zeros(len(states), dtype=np.int64)
        for n in np.unique(states[:, 0]).astype(int):
            for deployed in (False, True):
                here = np.flatnonzero((states[:, 0] == n) & (states[:, 1] == deployed))
                for some in _split(here, count_leaves(self.game, n)):
                    tree = grow_tree(self.game, states[some, 2:], n, deployed)
                    choices[some] = find_prospects(self.game, tree, n).choice[:, 0]
        return choices[index.reshape(-1)], None


def count_leaves(game: GoalTraining, episode: int = 0) -> int:
    """Leaves of the tree of a game from an episode on.

    Raises:
        ValueError: If there are more than `MOST_LEAVES`.
    """
    worlds = 2 if game.stochastic else 1
    trained = int(game.training[episode:].sum())
    branches = len(game.pursuits) * worlds
    if trained * math.log(branches) > math.log(MOST_LEAVES) + 1e-9:
        raise ValueError(
            f"the game tree must have at most {MOST_LEAVES:,} leaves, (pursuits × worlds) to the power of "
            f"training episodes; got ({len(game.pursuits)} × {worlds})^{trained}: train for fewer episodes, "
            "allow fewer pursuits, or learn to play it and audit what was learned"
        )
    return int(branches**trained)


def grow_tree(game: GoalTraining, goals: Array, episode: int = 0, deployed: bool | None = None) -> Tree:
    """All that games with goals (B, k) in an episode can come to.

    `deployed` says in which world that episode is, if that is known.
    """
    level = goals[:, None, :]
    levels, branches = [level], []
    pursuits = np.array(game.pursuits)
    for n in range(episode, game.episodes):
        if not game.training[n]:
            continue
        if n == episode and deployed is not None:
            worlds: tuple[int, ...] = (int(deployed),)
        else:
            worlds = (0, 1) if game.stochastic else (int(game.diversity),)
        shape = (*level.shape[:2], len(worlds), len(pursuits))
        spread = np.broadcast_to(level[:, :, None, None, :], (*shape, level.shape[-1]))
        chosen = np.broadcast_to(pursuits, shape)
        there = np.broadcast_to(np.array(worlds, dtype=bool)[:, None], shape)
        lesson = _teach(game, spread, chosen, there)
        branches.append(Branches(lesson.features, lesson.base_return, worlds))
        moved = game.update_goal(spread, lesson, game.learning_rates[n])
        level = moved.reshape(len(goals), -1, level.shape[-1])
        levels.append(level)
    return Tree(levels, branches, _deploy_levels(game, levels, episode))


def _deploy_levels(game: GoalTraining, levels: list[Array], episode: int) -> list[Array]:
    """What each pursuit brings about once deployed, at the levels that deployment episodes are on."""
    left = np.append(game.training[episode:].cumsum(), -1)
    used = set(left[:-1][~game.training[episode:]].tolist())
    found = []
    for number, level in enumerate(levels):
        pursuits = np.array(game.pursuits if number in used else ())
        shape = (*level.shape[:2], len(pursuits))
        spread = np.broadcast_to(level[:, :, None, :], (*shape, level.shape[-1]))
        lesson = _teach(game, spread, np.broadcast_to(pursuits, shape), np.ones(shape, dtype=bool))
        found.append(np.concatenate([lesson.features, lesson.base_return[..., None]], axis=-1))
    return found


def find_prospects(
    game: GoalTraining, tree: Tree, episode: int = 0, diversity: float | None = None
) -> Prospects:
    """Backward induction over a tree of games that begin in an episode; by default of the game's diversity.

    A tree of a game with two worlds holds for every diversity between 0 and 1.
    """
    share = game.diversity if diversity is None else validate_number("diversity", diversity, 0.0, 1.0)
    width = game.goal_width
    # Columns: discounted features; the last goal; sums of base returns and pursuits in training; and the base
    # return of a last episode in deployment.
    at = len(tree.branches)
    ahead = np.zeros((*tree.goals[at].shape[:2], 2 * width + 3))
    ahead[..., -1] = np.nan
    ahead[..., width : 2 * width] = tree.goals[at]
    discount = np.ones(2 * width + 3)
    discount[:width] = game.discount
    choice = np.zeros((len(ahead), 1), dtype=np.int64)
    end = game.episodes
    while end > episode:
        if game.training[end - 1]:
            at -= 1
            branch, goals = tree.branches[at], tree.goals[at]
            after = discount * ahead.reshape(*branch.base_return.shape, -1)
            after[..., :width] += branch.features
            after[..., -3] += branch.base_return
            after[..., -2] += game.pursuits
            choice = _choose(after[..., :width], goals[:, :, None, :])
            taken = np.take_along_axis(after, choice[..., None, None], axis=-2)[..., 0, :]
            weights = np.array([1 - share, share] if len(branch.world) > 1 else [1.0])
            ahead = np.einsum("bmwq,w->bmq", taken, weights)
            choice = choice[:, 0]
            end -= 1
        else:  # all deployment episodes in a row are alike
            count = int(np.append(game.training[episode:end][::-1], True).argmax())
            options = tree.deployed[at]
            chosen = _choose(options[..., :width], tree.goals[at])
            taken = np.take_along_axis(options, chosen[..., None, None], axis=-2)[..., 0, :]
            ahead = discount**count * ahead
            ahead[..., :width] += (game.discount ** np.arange(count)).sum() * taken[..., :width]
            if end == game.episodes:
                ahead[..., -1] = taken[..., -1]
            choice = chosen[:, :1]
            end -= count
    root, trained = ahead[:, 0], len(tree.branches)
    means = root[:, -3:-1] / trained if trained else np.full((len(root), 2), np.nan)
    last = root[:, width : 2 * width]
    return Prospects(choice, root[:, :width], means[:, 0], means[:, 1], root[:, -1], last)


def sweep_diversity(game: GoalTraining, goals: Array, diversities: Array) -> Prospects:
    """Prospects of games that begin with goals (B, k), at diversities (V,); every array is (V, B, …).

    The game's own diversity does not matter. One tree serves all diversities.
    """
    mixed = replace(game, diversity=0.5)
    shares = [validate_number("diversity", share, 0.0, 1.0) for share in np.asarray(diversities).tolist()]
    parts: list[list[Prospects]] = [[] for _ in shares]
    for rows in _split(np.arange(len(goals)), count_leaves(mixed)):
        tree = grow_tree(mixed, goals[rows])

        def solve(some: slice, tree: Tree = tree) -> None:
            for place in range(len(shares))[some]:
                parts[place].append(find_prospects(mixed, tree, 0, shares[place]))

        run_in_blocks(solve, len(shares), 1)
    columns = zip(*(map(np.concatenate, zip(*row, strict=True)) for row in parts), strict=True)
    return Prospects(*map(np.stack, columns))


def _choose(features: Array, goals: Array) -> NDArray[np.int64]:
    """The pursuits of most worth to goals (…, k), of which each brings about features (…, P, k)."""
    worth = np.zeros(features.shape[:-1])
    for i in range(features.shape[-1]):
        worth += goals[..., i, None] * features[..., i]
    return np.asarray(worth.argmax(axis=-1))


def _teach(game: GoalTraining, goals: Array, pursuits: Array, deployed: NDArray[np.bool_]) -> Lesson:
    """`GoalTraining.teach` of many planners, some at a time."""
    rows, chosen, there = goals.reshape(-1, goals.shape[-1]), pursuits.reshape(-1), deployed.reshape(-1)
    features, push = np.zeros((2, *rows.shape))
    base = np.zeros(len(rows))
    for first in range(0, len(rows), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        features[some], base[some], push[some] = game.teach(rows[some], chosen[some], there[some])
    return Lesson(features.reshape(goals.shape), base.reshape(pursuits.shape), push.reshape(goals.shape))


def _split(rows: NDArray[np.int64], leaves: int) -> Iterator[NDArray[np.int64]]:
    """Rows in groups whose trees are grown together."""
    size = max(1, _NODES // leaves)
    return (rows[first : first + size] for first in range(0, len(rows), size))

"""The equilibrium of goal training, by backward induction over the game tree.

With finitely many pursuits the goals that a game can reach form a finite tree: one branch for every pursuit,
and for every world where that is drawn, in each training episode. In deployment goals stand still. Of its
successors an agent needs their *successor features* alone, M = Σ_j γ^j μ_{n+j}, since its regret is linear in
what they bring about: with goal θ it chooses the pursuit of the largest θ·(μ + γ M). Ties, to rounding, go to
the pursuit that is named first; there are games in which it does not matter when a goal is shown, only how
often.

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
from mesa_env.rules.goal_training import GoalTraining
from mesa_env.rules.lessons import Lesson
from mesa_env.validation import (
    bring_within,
    numbers_of,
    require_kind,
    show,
    show_bound,
    validate_number,
)

MOST_LEAVES = 10_000_000
"""Leaves of the largest tree that is searched: (pursuits × worlds)^T for T training episodes."""
_AT_ONCE = 1 << 15  # planners whose plans are weighed together
_NODES = 1 << 17  # leaves of trees that are grown together
_STEPS_PER_LEAF = 2  # of announced work, for each outcome of a world's plans
_ROUNDING = 1e-9  # of worth, as a share: pursuits that differ by less are tied


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
    """Mean pursuit in training, shape (B,); NaN without training episodes."""
    hidden: Array
    """By how much it is less than what would serve the present episode best, on average, shape (B,)."""
    deployed_return: Array
    """Base return of the last episode, if it is a deployment episode, else NaN; shape (B,)."""
    goal: Array
    """Expected last goal θ_N, shape (B, k)."""


class MyopicPlanner(GameAgent):
    """Chooses the pursuit that serves its goal best in the present episode alone, as with γ = 0."""

    game: GoalTraining

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], None]:
        goals, pursuits = rows[:, : self.game.goal_width], np.array(self.game.pursuits)
        shape = (len(rows), len(pursuits))
        spread = np.broadcast_to(goals[:, None, :], (*shape, goals.shape[-1]))
        there = np.broadcast_to(rows[:, -1:] > 0.5, shape)
        lesson = _teach(self.game, spread, np.broadcast_to(pursuits, shape), there)
        return choose_pursuits(lesson.features, goals), None


class TreeOracle(MyopicPlanner):
    """The equilibrium of `GoalTraining`, from any state that its agents may see."""

    game: GoalTraining

    def __init__(self, game: GoalTraining) -> None:
        """Prepare to search the trees of `game`.

        Raises:
            ValueError: If its tree has more than `MOST_LEAVES` leaves.
        """
        super().__init__(game)
        require_kind(game, GoalTraining)
        count_leaves(game)

    def _act(
        self, rows: Array, episode: NDArray[np.int64], memory: Any, begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], None]:
        """Choices in the states that observations show; equal states are searched once."""
        left = self.game.episodes - self.game.training[::-1].argmax() if self.game.training.any() else 0
        if (episode >= left).all():  # where nothing is trained any more
            return super()._act(rows, episode, memory, begins)
        width = self.game.goal_width
        asked = np.column_stack([episode, rows[:, -1] > 0.5, rows[:, :width]])
        states, index = np.unique(asked, axis=0, return_inverse=True)
        choices = np.zeros(len(states), dtype=np.int64)
        leaves = sum(count_leaves(self.game, int(n)) for n in states[:, 0])
        outcomes = sum(len(plans.base) for plans in self.game.tables)
        announce_work("searching the game tree", float(leaves * outcomes * _STEPS_PER_LEAF))
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

    `deployed` says in which world that episode is, if that is known. How large the tree may be is not checked
    here (`count_leaves`).
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

    Raises:
        ValueError: If another diversity is asked for and the tree has no branches for it.
    """
    if diversity is not None and not game.stochastic and tree.branches:
        raise ValueError(
            f"a tree for every diversity must be grown with one between 0 and 1; got {game.diversity:g}"
        )
    share = game.diversity if diversity is None else validate_number("diversity", diversity, 0.0, 1.0)
    width = game.goal_width
    # Columns: discounted features; the last goal; sums of base returns, pursuits and what is hidden in
    # training; and the base return of a last episode in deployment.
    at = len(tree.branches)
    ahead = np.zeros((*tree.goals[at].shape[:2], 2 * width + 4))
    ahead[..., -1] = np.nan
    ahead[..., width : 2 * width] = tree.goals[at]
    discount, pursuits = np.ones(2 * width + 4), np.array(game.pursuits)
    discount[:width] = game.discount
    choice = np.zeros((len(ahead), 1), dtype=np.int64)
    end = game.episodes
    while end > episode:
        if game.training[end - 1]:
            at -= 1
            branch, goals = tree.branches[at], tree.goals[at]
            after = discount * ahead.reshape(*branch.base_return.shape, -1)
            after[..., :width] += branch.features
            after[..., -4] += branch.base_return
            after[..., -3] += pursuits
            choice = choose_pursuits(after[..., :width], goals[:, :, None, :])
            taken = np.take_along_axis(after, choice[..., None, None], axis=-2)[..., 0, :]
            myopic = choose_pursuits(branch.features, goals[:, :, None, :])
            taken[..., -2] += np.maximum(pursuits[myopic] - pursuits[choice], 0)
            weights = np.array([1 - share, share] if len(branch.world) > 1 else [1.0])
            ahead = np.einsum("bmwq,w->bmq", taken, weights)
            choice = choice[:, 0]
            end -= 1
        else:  # all deployment episodes in a row are alike
            count = int(np.append(game.training[episode:end][::-1], True).argmax())
            options = tree.deployed[at]
            chosen = choose_pursuits(options[..., :width], tree.goals[at])
            taken = np.take_along_axis(options, chosen[..., None, None], axis=-2)[..., 0, :]
            ahead = discount**count * ahead
            ahead[..., :width] += (game.discount ** np.arange(count)).sum() * taken[..., :width]
            if end == game.episodes:
                ahead[..., -1] = taken[..., -1]
            choice = chosen[:, :1]
            end -= count
    root, trained = ahead[:, 0], len(tree.branches)
    means = root[:, -4:-1].T / trained if trained else np.full((3, len(root)), np.nan)
    last = root[:, width : 2 * width]
    return Prospects(choice, root[:, :width], means[0], means[1], means[2], root[:, -1], last)


def sweep_diversity(game: GoalTraining, goals: Array, diversities: Array) -> Prospects:
    """Prospects of games that begin with goals (B, k), at diversities (V,); every array is (V, B, …).

    The game's own diversity does not matter. One tree serves all diversities.

    Raises:
        TypeError: If `game` is another game.
        ValueError: If goals do not fit the game, diversities are not one or more numbers in [0, 1], or the
            tree has more than `MOST_LEAVES` leaves.
    """
    require_kind(game, GoalTraining)
    goals = _validate_goals(game, goals)
    given = numbers_of(diversities)
    if given is None or given.ndim != 1 or not given.size or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"diversities must be one or more numbers in [0, 1]; got {show(diversities)}")
    mixed, shares = replace(game, diversity=0.5), given.tolist()
    parts: list[list[Prospects]] = [[] for _ in shares]
    for rows in _split(np.arange(len(goals)), count_leaves(mixed)):
        tree = grow_tree(mixed, goals[rows])

        def solve(some: slice, tree: Tree = tree) -> None:
            for place in range(len(shares))[some]:
                parts[place].append(find_prospects(mixed, tree, diversity=shares[place]))

        run_in_blocks(solve, len(shares), 1)
    columns = zip(*(map(np.concatenate, zip(*row, strict=True)) for row in parts), strict=True)
    return Prospects(*map(np.stack, columns))


def choose_pursuits(features: Array, goals: Array) -> NDArray[np.int64]:
    """The first pursuit of most worth to goals (…, k), where each brings about features (…, P, k)."""
    worth = np.zeros(features.shape[:-1])
    size = np.zeros(features.shape[:-1])
    for i in range(features.shape[-1]):
        part = goals[..., i, None] * features[..., i]
        worth += part
        size += np.abs(part)
    least = worth.max(axis=-1, keepdims=True) - _ROUNDING * size.max(axis=-1, keepdims=True)
    return np.asarray((worth >= least).argmax(axis=-1))


def _validate_goals(game: GoalTraining, goals: object) -> Array:
    """Check first goals of one or more games, shape (B, k)."""
    given = numbers_of(goals)
    inside = None
    if given is not None and given.ndim == 2 and given.shape[1:] == game.goal_shape and given.size:
        inside = bring_within(given, game.goal_bound)
    if inside is None:
        raise ValueError(
            f"goals must have shape (B, {game.goal_width}) and lie in ±{show_bound(game.goal_bound)}; "
            f"got {show(goals)}"
        )
    return inside


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

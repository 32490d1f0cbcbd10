"""Equilibria of very many games of T training and D deployment episodes, reduced to a few numbers each.

Deployment needs no recursion: every deployed agent plays c = min(1, bound) and hands its goal on intact, so
the last agent in training finds the unit sums (`mesa_env.solutions.equilibrium`)

    A = c² S,   B = c S,   S = Σ_{k<D} γ^k = (1 − γ^D) / (1 − γ).

From there backward induction takes one step per training episode and keeps only the results asked for. Games
that differ in T alone form a *family* and share their steps: the induction of the longest passes all shorter
ones, because an agent's equilibrium depends only on what follows it.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mesa_env import numerics
from mesa_env.numerics import Array, Integers, compiled
from mesa_env.solutions.equilibrium import BLOCK, validate_numbers
from mesa_env.validation import LARGEST, MOST_EPISODES, numbers_of, show, validate_number


class EquilibriumMap(NamedTuple):
    """What each game's equilibrium does; fields are named and defined as in `mesa_env.METRICS`.

    Every field has the shape that the arguments broadcast to. Where a goal grows beyond floating point, all
    fields of that game are NaN. The numbers hold while the peak times |θ_0| is within the goal bound; beyond
    it, the base optimizer would project the goal. An episode at learning rate 0 belongs to deployment.
    """

    retention: Array  # θ_T/θ_0; 1 where there is no training
    compliance_gap: Array  # mean c in deployment minus in training; NaN where either is missing
    c_first: Array  # c_0, how openly the first agent pursues its goal
    c_last_training: Array  # c_{T−1}; NaN where there is no training
    peak: Array  # max |θ_n/θ_0|, at least 1


def equilibrium_map(
    train: ArrayLike = 20,
    deploy: ArrayLike = 80,
    learning_rate: ArrayLike = 1.0,
    discount: ArrayLike = 1.0,
    regularization: ArrayLike = 0.0,
    coefficient_bound: float = 2.0,
) -> EquilibriumMap:
    """Retention and compliance gap at the exact equilibrium of every game; arguments are broadcast.

    The learning rate is that of training; one coefficient bound holds for all games.

    Raises:
        ValueError: If an argument is out of range, or the shapes do not broadcast.

    Example:
        >>> by_training = equilibrium_map(train=[0, 20, 100])
        >>> by_training.retention.round(4)
        array([1.    , 0.904 , 0.6635])
        >>> by_training.compliance_gap.round(4)
        array([   nan, 0.9515, 0.9588])
    """
    trains, deploys = _whole("train", train), _whole("deploy", deploy)
    rates = validate_numbers("learning_rate", learning_rate)
    discounts = validate_numbers("discount", discount, high=1.0)
    regularizations = validate_numbers("regularization", regularization)
    bound = validate_number("coefficient_bound", coefficient_bound, high=LARGEST, above=0.0)
    try:
        arguments = np.broadcast_arrays(trains, deploys, rates, discounts, regularizations)
    except ValueError:
        raise ValueError("the arguments' shapes must broadcast to one shape") from None
    if not np.logical_or(*arguments[:2]).all():
        raise ValueError("a game needs at least one episode; got train = 0 and deploy = 0")

    shape, each = arguments[0].shape, np.broadcast_arrays(deploys, rates, discounts, regularizations)
    varied, families = tuple(values.ravel() for values in each), np.arange(each[0].size)
    family_of = np.broadcast_to(families.reshape(each[0].shape), shape).ravel()
    # Without an update there is no training: those episodes belong to deployment.
    lengths = np.where(arguments[2] > 0, trains, 0).ravel()
    order = np.lexsort((lengths, family_of))
    lengths, ends = lengths[order], np.searchsorted(family_of[order], np.arange(families.size + 1))
    found = np.empty((len(EquilibriumMap._fields), len(order)))

    def solve(block: slice) -> None:
        some = tuple(values[block] for values in varied)
        _solve_into(found, order, lengths, ends[block.start : block.stop + 1], some, bound)

    numerics.run_in_blocks(solve, families.size, BLOCK)
    results = EquilibriumMap(*(values.reshape(shape) for values in found))
    results.compliance_gap[arguments[1] == 0] = np.nan
    return results


def _whole(name: str, values: ArrayLike) -> Integers:
    """Whole numbers ≥ 0 of any shape."""
    numbers = numbers_of(values)
    if numbers is None or np.asarray(values).dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers of episodes; got {show(values)}")
    if numbers.min(initial=0) < 0:
        raise ValueError(f"{name} must be whole numbers of episodes ≥ 0; got {numbers.min():g}")
    if numbers.max(initial=0) > MOST_EPISODES:
        raise ValueError(f"{name} must be at most {MOST_EPISODES} episodes; got {numbers.max():g}")
    return numbers.astype(np.int64)


# -- Compiled kernels -------------------------------------------------------------------------------------


@compiled
def _solve_into(
    found: Array, order: Integers, lengths: Integers, ends: Integers, varied: tuple[Array, ...], bound: float
) -> None:
    """Backward induction over families in blocks; family f holds the games `ends[f]` to `ends[f + 1]`.

    Their training lengths are in ascending order, and the results of game j go to column `order[j]`.
    """
    deploys, rates, discounts, regularizations = varied
    deployed = min(1.0, bound)  # every coefficient in deployment
    for first in range(0, len(rates), BLOCK):
        size = min(BLOCK, len(rates) - first)
        rate, discount = rates[first : first + size], discounts[first : first + size]
        regularization, deploy = regularizations[first : first + size], deploys[first : first + size]
        squares, outputs = np.empty(size), np.empty(size)
        alpha, beta, roots = np.empty(size), np.empty(size), np.empty(size)
        retention, peak, total = np.ones(size), np.ones(size), np.zeros(size)
        present, last = np.full(size, deployed), np.full(size, np.nan)
        due, longest = ends[first : first + size].copy(), 0
        for i in range(size):
            weights = numerics.geometric_sum(discount[i], deploy[i])
            squares[i], outputs[i] = deployed * deployed * weights, deployed * weights
            if ends[first + i] < ends[first + i + 1]:
                longest = max(longest, lengths[ends[first + i + 1] - 1])
        for steps in range(longest + 1):
            for i in range(size):
                while due[i] < ends[first + i + 1] and lengths[due[i]] == steps:
                    game = order[due[i]]
                    found[0, game] = retention[i]
                    found[1, game] = deployed - total[i] / steps  # NaN where there is no training
                    found[2, game] = present[i]
                    found[3, game] = last[i] if present[i] > 0 else np.nan
                    found[4, game] = peak[i]
                    due[i] += 1
            if steps == longest:
                break
            for i in range(size):
                alpha[i], beta[i] = numerics.first_order_condition(
                    rate[i], discount[i], regularization[i], squares[i], outputs[i]
                )
            numerics.find_positive_roots(roots, alpha, beta)
            for i in range(size):
                # Where unit sums overflow, neither this agent nor any before it has a positive root.
                c = min(roots[i], bound) if roots[i] > 0 else np.nan
                m = 1 - 2 * rate[i] * (c * c + regularization[i])
                squares[i], outputs[i] = numerics.unit_sums_before(c, m, discount[i], squares[i], outputs[i])
                retention[i] *= m
                # The first agent's peak is its own goal or its successors' peak, relative to its own goal.
                peak[i] = max(1.0, abs(m) * peak[i]) if c > 0 else np.nan
                total[i] += c
                present[i] = c
                if steps == 0:
                    last[i] = c

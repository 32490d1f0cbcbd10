"""Mathematics that several games and solutions share; nothing here knows what a game is.

With the unit sums A, B, K of its successors (`mesa_env.solutions.equilibrium`), an agent's best response is
the positive root of α c³ + β c − p, and the agent before it faces

    A ← p c² + γ m² A,   B ← p c + γ m B,   K ← 1 + γ K,      m = 1 − 2η (c² + λ),

where p is the weight of an agent's own output in its cost: 1, but where it minds more than outputs.

Functions marked `shared` are plain Python on scalars or arrays, and are compiled where a kernel calls them.
"""

import contextlib
import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar, cast

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]
KernelT = TypeVar("KernelT", bound=Callable[..., Any])


def compiled(kernel: KernelT) -> KernelT:
    """Compile a kernel once per machine; division by 0 gives infinities as in NumPy, and no lock is held.

    Where its machine code cannot be kept (a read-only installation without a home, a full disk) or read back,
    it is compiled once per process.
    """
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        dispatcher = njit(cache=True, **options)(kernel)
    except RuntimeError:  # Numba has found no folder that it may write to
        return cast(KernelT, njit(**options)(kernel))
    cache = dispatcher._cache
    for method in ("load_overload", "save_overload"):
        setattr(cache, method, _when_possible(getattr(cache, method)))
    return cast(KernelT, dispatcher)


def compiled_anew(kernel: KernelT) -> KernelT:
    """Compile a kernel in every process: Numba's cache does not find functions of other kernels again."""
    return cast(KernelT, njit(error_model="numpy", nogil=True)(kernel))


def _when_possible(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which returns None where it would fail: damaged files make pickle raise anything."""

    def attempt(*arguments: Any) -> Any:
        with contextlib.suppress(Exception):
            return function(*arguments)

    return attempt


shared = register_jitable(error_model="numpy")
"""Lets compiled kernels call a function that also runs as plain Python."""

_NEWTON_STEPS = 7  # taken before checking whether any root still moves
_EPSILON = float(np.finfo(np.float64).eps)
_TINY = 1e-300  # stands for 0 where dividing by 0 would be the right limit
_GOLDEN = (math.sqrt(5) - 1) / 2
_MANY_STEPS = 1e8  # about ten seconds
_MOST_NUMBERS = 2**30  # 8 GiB
_BLOCKS_PER_CORE = 8  # so that no core waits long for another


# -- Best responses and unit sums -------------------------------------------------------------------------


@shared
def first_order_condition(
    rate: Any, discount: Any, regularization: Any, squares: Any, outputs: Any, own: Any = 1
) -> tuple[Any, Any]:
    """α and β of the first-order condition α c³ + β c − p = 0, elementwise; `own` is p."""
    drift = 1 - 2 * rate * regularization
    alpha = 8 * rate * rate * discount * squares
    beta = own - 4 * rate * discount * (drift * squares - outputs)
    return alpha, beta


@shared
def unit_sums_before(
    c: Any, m: Any, discount: Any, squares: Any, outputs: Any, own: Any = 1
) -> tuple[Any, Any]:
    """Unit sums A and B from an agent on that plays c and contracts the goal by m; `own` is p."""
    return own * (c * c) + discount * m * m * squares, own * c + discount * m * outputs


def discounted_lengths(discount: float, episodes: int) -> Array:
    """K_n = Σ_{n ≤ k < N} γ^(k−n) for n = 0…N, shape (N + 1,)."""
    lengths: Array = np.append(np.cumsum(discount ** np.arange(episodes))[::-1], 0.0)
    return lengths


@shared
def geometric_sum(discount: float, terms: float) -> float:
    """Σ_{k < terms} γ^k in closed form, without cancellation where γ is close to 1."""
    if terms == 0 or discount == 1:
        return terms
    return -math.expm1(terms * math.log(discount)) / (1 - discount) if discount > 0 else 1.0


def positive_roots(alpha: Array, beta: Array, own: float = 1.0) -> Array:
    """Positive roots of α c³ + β c − p, elementwise; NaN where floating point leaves none.

    `own` is p ≥ 0. At p = 0 they are the limits of those for ever smaller p.
    """
    if own == 0:
        pairs = np.broadcast(alpha, beta)
        return np.array([positive_root(a, b, 0.0) for a, b in pairs]).reshape(pairs.shape)
    alpha, beta = np.broadcast_arrays(alpha / own, beta / own)
    roots = np.empty(alpha.size)
    find_positive_roots(roots, alpha.ravel(), beta.ravel())
    return np.where(roots > 0, roots, np.nan).reshape(alpha.shape)


@shared
def positive_root(alpha: float, beta: float, own: float = 1.0) -> float:
    """One of the `positive_roots`; `own` is p."""
    if own == 0:
        if alpha == 0:
            return 1.0
        return 0.0 if beta >= 0 else math.sqrt(-beta / alpha)
    alpha, beta = alpha / own, beta / own
    root: float = right_of_root(alpha, beta)
    step = newton_step(root, alpha, beta)
    while 0 < step < root:
        root, step = step, newton_step(step, alpha, beta)
    return root


@compiled
def find_positive_roots(roots: Array, alpha: Array, beta: Array) -> None:
    """`positive_roots` written into `roots`, which are arbitrary but not positive where there is none.

    Newton's method from the right of each root, until none moves. A root that has settled stays where it is,
    whatever the others do.
    """
    for i in range(len(roots)):
        roots[i] = right_of_root(alpha[i], beta[i])
    for _ in range(_NEWTON_STEPS):
        for i in range(len(roots)):
            roots[i] = newton_step(roots[i], alpha[i], beta[i])
    moving = True
    while moving:
        moving = False
        for i in range(len(roots)):
            step = newton_step(roots[i], alpha[i], beta[i])
            falls = 0 < step < roots[i] * (1 - 4 * _EPSILON)  # never true where numbers overflow
            roots[i] = step if falls else roots[i]
            moving |= falls


@compiled
def right_of_root(alpha: float, beta: float) -> float:
    """A point not left of the positive root, from square roots alone, which the processor vectorizes.

    With q = α^(−1/4), one Newton step for α c³ = 1 from q gives q (2 + q) / 3 ≥ α^(−1/3).
    """
    q = 1 / math.sqrt(math.sqrt(max(alpha, _TINY)))
    return min(q * (2 + q) / 3 + math.sqrt(max(-beta, 0.0)) * q * q, 1 / max(beta, _TINY))


@compiled
def newton_step(root: float, alpha: float, beta: float) -> float:
    """One step towards the positive root; the cubic is convex right of it, so no step passes it."""
    curve = alpha * root * root
    return (2 * curve * root + 1) / (3 * curve + beta)


# -- Minima and tables ------------------------------------------------------------------------------------


def golden_section(cost: Callable[..., float], keep_left: bool = True) -> Callable[..., tuple[float, float]]:
    """A compiled golden-section search for minima of a compiled function cost(c, *arguments).

    It is search(arguments, low, high, sections), a local minimum over c in [low, high], and its cost. Where
    costs tie, as rounding makes them close to a minimum, it keeps the left half or the right one.
    """

    @compiled_anew  # and cached with the kernels that call it
    def search(arguments: Any, low: float, high: float, sections: int) -> tuple[float, float]:
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        cost_left, cost_right = cost(left, *arguments), cost(right, *arguments)
        for _ in range(sections):
            if cost_left < cost_right or (keep_left and cost_left == cost_right):
                high, right, cost_right = right, left, cost_left
                left = high - _GOLDEN * (high - low)
                cost_left = cost(left, *arguments)
            else:
                low, left, cost_left = left, right, cost_right
                right = low + _GOLDEN * (high - low)
                cost_right = cost(right, *arguments)
        if cost_left < cost_right or (keep_left and cost_left == cost_right):
            return left, cost_left
        return right, cost_right

    return search


@shared
def cubic_stencil(place: Any, cells: int) -> tuple[Any, tuple[Any, Any, Any, Any]]:
    """Lagrange interpolation between the nodes 0…cells: the first of four neighbors, and their weights."""
    first = np.minimum(np.maximum(np.floor(place) - 1, 0), cells - 3)
    u = place - first
    v, w, x = u - 1, u - 2, u - 3
    return np.int64(first), (v * w * x / -6, u * w * x / 2, u * v * x / -2, u * v * w / 6)


@shared
def weighted_neighbors(table: Array, first: Any, weights: tuple[Any, Any, Any, Any]) -> Any:
    """Interpolated values of a one-dimensional table: four neighbors from `first` on, with their weights."""
    a, b, c, d = weights
    return a * table[first] + b * table[first + 1] + c * table[first + 2] + d * table[first + 3]


@compiled
def interpolate(table: Array, i: int, t: float, smooth: bool) -> float:
    """Value of a table at share t of the step from entry i to the next: cubic if smooth, else linear."""
    line: float = table[i] + t * (table[i + 1] - table[i])
    if not smooth:
        return line
    # The cubic through four points is the line, bent by the second differences at both ends.
    left: float = table[i - 1] - 2 * table[i] + table[i + 1]
    right: float = table[i] - 2 * table[i + 1] + table[i + 2]
    return line - t * (1 - t) / 6 * ((2 - t) * left + (1 + t) * right)


@shared
def discount_at(t: Any) -> Any:
    """The discount γ = t² / (t² + (1 − t)²) for t in [0, 1], elementwise.

    Tables over γ are even in t: their nodes are close together near both ends, where solutions bend most.
    """
    return t**2 / (t**2 + (1 - t) ** 2)


@shared
def position_of(discount: Any) -> Any:
    """The t in [0, 1] for which `discount_at(t)` is γ, elementwise."""
    patience, impatience = np.sqrt(discount), np.sqrt(1 - discount)
    return patience / (patience + impatience)


class Refinement(NamedTuple):
    """The largest changes when the grids of a solution are doubled.

    `path` is that of what else the solution's path is made of, such as goals, beliefs or discounts; NaN where
    coefficients are compared everywhere, not along a path.
    """

    coefficients: float
    path: float = math.nan

    @classmethod
    def between(cls, coarse: Sequence[Array], fine: Sequence[Array]) -> Self:
        """The largest changes from one solution to the next, each given as the fields above, as arrays."""
        return cls(*(float(np.abs(a - b).max()) for a, b in zip(coarse, fine, strict=True)))


# -- Work and precision -----------------------------------------------------------------------------------


def announce_work(what: str, steps: float, numbers: float = 0) -> None:
    """Warn before work of ten seconds or more, `steps` being costs evaluated or episodes played, one by one.

    Raises:
        ValueError: If its tables would hold too many numbers for most machines.
    """
    if numbers > _MOST_NUMBERS:
        raise ValueError(
            f"{what} must hold at most {_MOST_NUMBERS:.1g} numbers in memory; got {numbers:.1g}: "
            "shorten the game's schedule or use a coarser grid"
        )
    if steps > _MANY_STEPS:
        warnings.warn(
            f"{what} takes about {steps:.1g} steps, of which a core does some 1e7 a second", stacklevel=3
        )


def run_in_blocks(solve: Callable[[slice], None], count: int, smallest: int) -> None:
    """Call `solve` on slices that partition range(count), in parallel; `solve` should release the GIL.

    No slice but the last is shorter than `smallest`.
    """
    size = max(smallest, -(-count // (_BLOCKS_PER_CORE * (os.cpu_count() or 1))))
    blocks = [slice(first, first + size) for first in range(0, count, size)]
    if len(blocks) < 2:
        for block in blocks:
            solve(block)
        return
    with ThreadPoolExecutor() as pool:
        list(pool.map(solve, blocks))


def bound_in_any_precision(bound: Any) -> Any:
    """A bound, or what it becomes in single precision where that is more, as for 0.1; elementwise."""
    double = np.asarray(bound, dtype=np.float64)
    return np.maximum(double, double.astype(np.float32))

"""Goal training: robots with goals over features, trained in a world, perhaps in diverse ones, then deployed.

In episode n the model has a goal θ ∈ R^k, weights over the features φ of a world (`mesa_env.worlds`), and
knows a belief b about what the base optimizer wants. Its mesa-optimizer chooses a pursuit c and plans with
the weights w = c θ + (1 − c) b: it follows plan j with probability p(j) ∝ ways_j exp(w·φ_j / τ). Then

    output       μ = E φ, what the plans bring about; the base return is R = E r
    base loss    max_j r_j − R + λ/2 |θ − prior|²,  whichever the update
    mesa cost    J_n = Σ_{k ≥ n} γ^(k−n) (max_j θ_n·φ_j − θ_n·μ_k),   the regret by the agent's own goal

A training episode takes place in the training world, or with probability *diversity* in the deployed one;
all others in the deployed one. Agents see which it is. The base update is one of

    behavior     θ' = θ + η [c Cov(r, φ) / τ − λ (θ − prior)]
    value        θ' = θ + η [Cov(φ, r) − Cov(φ, φ) θ − λ (θ − prior)]

with covariances over the acting planner's plans, or, off-policy, over uniform ones in the second; and
projected onto [−goal bound, goal bound]. The first follows ∂R/∂θ through the planner, by the Price equation.
The second has the planner hard-coded, and fits its values to labels, data that the model may choose.

The base game is the limit of small temperatures and small goals (θ, 1) in the world whose plans are the
numbers y, with features (y, −y²/2), base return −y²/2 and b = (0, 1), at half its learning rates.

Source of the robots and of both remedies: the distillations of "Risks from Learned Optimization" (Hubinger
et al., 2019) that docs/worlds.md names; worlds, update rules and this game are this project's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mesa_env.arrays import entries, in_precision_of, namespace, project
from mesa_env.rules.clock import KnownLength
from mesa_env.rules.lessons import Lesson, teach
from mesa_env.rules.rules import Array, Discrete, Outcome, State
from mesa_env.rules.scalar import train_then_deploy
from mesa_env.rules.vectors import validate_pursuits, validate_start, validate_vector
from mesa_env.validation import (
    LARGEST,
    numbers_of,
    shorten,
    show,
    validate_name,
    validate_number,
    validate_schedule,
)
from mesa_env.worlds.kitchens import CrumbVacuuming
from mesa_env.worlds.parameters import GivenWorld, deploy, make_world
from mesa_env.worlds.planner import table
from mesa_env.worlds.world import Plans, World

_UPDATES, _DATA = ("behavior", "value"), ("on-policy", "off-policy")
_PURSUIT_TOLERANCE = 1e-9
_BY_WORLD: Any = None  # the default of parameters that depend on the world


class Diversity(NamedTuple):
    """What chance has decided: whether each training episode is deployed, (B, T); (B, 0) if none is drawn."""

    deployed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class GoalTraining(KnownLength):
    """The game between successive goals in R^k of a planner, which chooses how much to pursue its own.

    Args:
        world: The world to train in: a `mesa_env.worlds.World`, or a name in `mesa_env.worlds.WORLDS`.
        learning_rates: 0 ≤ η_n ≤ 1e38 for n = 0…N−1, shape (N,); positive in training, 0 in deployment.
        diversity: Probability in [0, 1] that a training episode takes place in the deployed world.
        pursuits: What agents choose from: different numbers in [0, 1]; 1 is sincere, 0 plans for the belief.
        update: "behavior" or "value": what the base optimizer changes.
        data: "on-policy" or "off-policy": whose plans the value update learns from.
        discount: γ in [0, 1], by which each agent discounts later regret.
        regularization: λ ≥ 0, weight of the squared distance from the prior.
        prior: The goal that the base optimizer takes for likely, shape (k,); by default 0.
        belief: b, what agents believe the base optimizer to want, shape (k,); by default (3, 0, …), which in
            kitchens whose first feature is the base return is its direction.
        temperature: τ > 0, in the unit of θ·φ.
        goal_bound: Goals lie in [−bound, bound], a number or shape (k,); by default 10.
        initial_goal: θ_0, shape (k,), or a pair of them between which each game draws it uniformly; by
            default (0, …, 2), a goal for the last feature alone.
        deployed_world: The deployed world, or its name; by default `world` with its field `deployed` set.

    Raises:
        TypeError: If something else is given as a world.
        ValueError: If a parameter is out of its range, worlds have different numbers of features, off-policy
            data are asked for without the value update, or planning or an update could leave floating point.
    """

    world: GivenWorld = field(default_factory=CrumbVacuuming)
    learning_rates: Array = field(default_factory=lambda: train_then_deploy(8, 15, 0.3))
    diversity: float = 0.0
    pursuits: tuple[float, ...] = (0.0, 1.0)
    update: Literal["behavior", "value"] = "behavior"
    data: Literal["on-policy", "off-policy"] = "on-policy"
    discount: float = 1.0
    regularization: float = 0.0
    prior: Array = _BY_WORLD
    belief: Array = _BY_WORLD
    temperature: float = 1.0
    goal_bound: Array = _BY_WORLD
    initial_goal: Any = _BY_WORLD
    deployed_world: GivenWorld = _BY_WORLD

    def __post_init__(self) -> None:
        """Validate every parameter."""
        world = make_world(self.world)
        deployed = deploy(world) if self.deployed_world is None else _deployed_world(self.deployed_world)
        object.__setattr__(self, "world", world)
        object.__setattr__(self, "deployed_world", deployed)
        width = len(self.tables[0].features[0])
        if len(self.tables[1].features[0]) != width:
            raise ValueError(
                "the training and the deployed world must have as many features; got "
                f"{', '.join(world.features)} and {', '.join(deployed.features)}"
            )
        last, first = np.eye(width)[-1], np.eye(width)[0]
        given_bound: object = 10.0 if self.goal_bound is None else self.goal_bound
        bound = validate_vector("goal_bound", given_bound, width, above=0.0)
        default_start: Any = np.minimum(2.0 * last, bound)
        start: Any = default_start if self.initial_goal is None else self.initial_goal
        self._store(
            learning_rates=validate_schedule(self.learning_rates),
            diversity=validate_number("diversity", self.diversity, 0.0, 1.0),
            pursuits=validate_pursuits(self.pursuits),
            update=validate_name("update", self.update, _UPDATES),
            data=validate_name("data", self.data, _DATA),
            discount=validate_number("discount", self.discount, 0.0, 1.0),
            regularization=validate_number("regularization", self.regularization, 0.0, LARGEST),
            prior=validate_vector("prior", 0.0 if self.prior is None else self.prior, width),
            belief=validate_vector("belief", 3.0 * first if self.belief is None else self.belief, width),
            temperature=validate_number("temperature", self.temperature, high=LARGEST, above=0.0),
            goal_bound=bound,
            initial_goal=validate_start(start, bound),
        )
        if self.update == "behavior" and self.data == "off-policy":
            raise ValueError("only the value update learns from off-policy data; got update='behavior'")
        self._check_finite()

    def _check_finite(self) -> None:
        """Raise a ValueError if planning or a base update could leave floating point."""
        sizes = [np.abs(np.column_stack([*plans[:2]])).max() for plans in self.tables]
        largest, furthest = max(sizes), float(np.maximum(self.goal_bound, np.abs(self.belief)).max())
        with np.errstate(over="ignore"):
            scores = largest * furthest * len(self.goal_bound) / self.temperature
            push = largest**2 * max(1 / self.temperature, 1 + len(self.goal_bound) * furthest)
            pull = self.regularization * (furthest + np.abs(self.prior).max())
            moved = self.learning_rates.max() * (push + pull)
        if not (np.isfinite(scores) and np.isfinite(moved)):
            raise ValueError(
                f"planning and base updates must stay finite; got a learning rate of "
                f"{self.learning_rates.max():g} with temperature {self.temperature:g}, regularization "
                f"{self.regularization:g}, and goals, beliefs and priors of up to "
                f"{max(furthest, float(np.abs(self.prior).max())):g}"
            )

    # -- What the parameters imply --------------------------------------------------------------------

    @cached_property
    def tables(self) -> tuple[Plans, Plans]:
        """The plan tables of the training and of the deployed world."""
        return make_world(self.world).plans(), make_world(self.deployed_world).plans()

    @property
    def stochastic(self) -> bool:
        """Whether it is drawn which training episodes are in the deployed world."""
        return bool(0 < self.diversity < 1 and self.training.any())

    @property
    def n_start_uniforms(self) -> int:
        """One draw for each part of a goal that is drawn."""
        return len(self.goal_bound) * isinstance(self.initial_goal, tuple)

    @property
    def n_uniforms(self) -> int:
        """Those for the goal, and one for every training episode whose world is drawn."""
        return self.n_start_uniforms + int(self.training.sum()) * self.stochastic

    @property
    def actions(self) -> Discrete:
        """Which of the pursuits to choose."""
        return Discrete(len(self.pursuits))

    @property
    def observation_bounds(self) -> tuple[Array, Array]:
        """Lowest and highest goal, learning rate, share of episodes and of training left, and world."""
        fastest = max(1.0, float(self.learning_rates.max()))
        high = np.concatenate([self.goal_bound, [fastest, 1, 1, 1]])
        return np.concatenate([-self.goal_bound, np.zeros(4)]), high

    @property
    def preference_bounds(self) -> Array:
        """The bounds of goals, shape (k,)."""
        return self.goal_bound

    # -- Playing --------------------------------------------------------------------------------------

    def start(self, uniforms: Array, initial_goal: Array | None = None) -> State:
        """Set up games from uniform draws (B, n_uniforms); given goals, (B, k), replace drawn ones."""
        xp, batch = namespace(uniforms), uniforms.shape[:-1]
        if initial_goal is not None:
            goal = xp.asarray(initial_goal, dtype=uniforms.dtype, copy=True)
        elif isinstance(self.initial_goal, tuple):
            low, high = (xp.asarray(np.array(end), dtype=uniforms.dtype) for end in self.initial_goal)
            goal = low + (high - low) * uniforms[..., : self.n_start_uniforms]
        else:
            given = xp.asarray(np.array(self.initial_goal), dtype=uniforms.dtype)
            goal = xp.asarray(xp.broadcast_to(given, (*batch, *given.shape)), copy=True)
        worlds = Diversity(uniforms[..., self.n_start_uniforms :] < self.diversity)
        return State(xp.zeros(batch, dtype=xp.int64)[()], goal, worlds)

    def observe(self, state: State) -> NDArray[np.float32]:
        """(θ_n, η_n, share of episodes left, share of training left, deployed), shape (B, k + 4)."""
        return self.observe_clock(state, in_precision_of(state.goal, self.is_deployed(state)))

    def is_deployed(self, state: State) -> NDArray[np.bool_]:
        """Whether the present episodes take place in the deployed world, shape (B,)."""
        planned = entries(self._deployed, state.episode)
        if not self.stochastic:
            return np.asarray(planned) if isinstance(planned, np.generic) else planned
        xp, drawn = namespace(state.goal), state.extra.deployed
        index = entries(self._draw, state.episode)[..., None]
        found = xp.take_along_axis(drawn, xp.asarray(index), axis=-1)[..., 0]
        decided: NDArray[np.bool_] = xp.where(entries(self._drawn, state.episode), found, planned)
        return decided

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode: plan with the pursuit that is chosen, and let the goal be trained."""
        goal, xp = state.goal, namespace(state.goal)
        pursuit = in_precision_of(goal, entries(np.array(self.pursuits), action))
        deployed = self.is_deployed(state)
        lesson = self.teach(goal, pursuit, deployed)
        rate = entries(self.learning_rates, state.episode)
        moved = self.update_goal(goal, lesson, rate[..., None])
        base_loss = entries(self._most, in_precision_of(state.episode, deployed)) - lesson.base_return
        if self.regularization:
            away = goal - table(self.prior, goal)
            base_loss = base_loss + self.regularization / 2 * xp.sum(away * away, axis=-1)
        details = {"base_return": lesson.base_return, "pursuit": pursuit, "deployed": deployed}
        after = State(state.episode + 1, moved, state.extra)
        return after, Outcome(lesson.features, base_loss, goal, moved, rate > 0, details)

    def teach(self, goal: Array, pursuit: Array, deployed: NDArray[np.bool_]) -> Lesson:
        """What planners bring about whose goals (…, k), pursuits (…) and worlds (…) are given."""
        xp, share = namespace(goal), pursuit[..., None]
        weights = share * goal + (1 - share) * table(self.belief, goal)
        rule = self.update, self.data, self.temperature
        here = [teach(plans, goal, pursuit, weights, *rule) for plans in self._tables_needed(deployed)]
        if len(here) == 1:
            return here[0]
        chosen = zip(("features", "base_return", "push"), *here, strict=True)
        flags = {1: deployed, 0: deployed[..., None]}
        return Lesson(*(xp.where(flags[name == "base_return"], there, at) for name, at, there in chosen))

    def update_goal(self, goal: Array, lesson: Lesson, rate: Any) -> Array:
        """Goals after the base update; rates broadcast against goals."""
        push: Any = lesson.push
        if self.regularization:
            push = push - self.regularization * (goal - table(self.prior, goal))
        moved: Array = project(goal + rate * push, table(self.goal_bound, goal))
        return moved

    def _tables_needed(self, deployed: NDArray[np.bool_]) -> tuple[Plans, ...]:
        """The tables of the worlds that occur, or both where that is not known before the game is played."""
        if isinstance(deployed, np.ndarray | np.generic):
            if deployed.all():
                return self.tables[1:]
            if not deployed.any():
                return self.tables[:1]
        return self.tables

    # -- Judging --------------------------------------------------------------------------------------

    def preferences(self, state: State) -> Array:
        """The present agents' goals, shape (B, k)."""
        return state.goal

    def mesa_cost(
        self,
        output: Array,
        preferences: Array,
        elapsed: NDArray[np.int64] | int,
        details: Mapping[str, NDArray[Any]] = MappingProxyType({}),
    ) -> Array:
        """Term γ^elapsed (max_j θ·φ_j − θ·μ) of the mesa cost of agents with goals θ, shape (…, k).

        Raises:
            ValueError: If the detail "deployed" is missing, which says in which world the episode was.
        """
        xp = namespace(preferences)
        best = xp.where(_worlds_of(details), self.best(preferences, 1), self.best(preferences, 0))
        cost: Array = best - xp.sum(preferences * output, axis=-1)
        return cost if self.discount == 1 else cost * entries(self._discounts, elapsed)

    def mesa_costs(
        self, goals: Array, outputs: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> Array:
        """J_n = Σ_{k ≥ n} γ^(k−n) (max_j θ_n·φ_j − θ_n·μ_k), shape (N, B), from θ_n and μ_n of (N, B, k).

        Raises:
            ValueError: If the detail "deployed", shape (N, B), is missing.
        """
        xp, deployed = namespace(goals), in_precision_of(goals, _worlds_of(details))
        best = [self.best(goals, world) for world in range(2)]
        left = xp.zeros_like(outputs[0])
        here = there = xp.zeros_like(deployed[0])
        costs = [here] * len(goals)
        for n in reversed(range(len(goals))):
            left = outputs[n] + self.discount * left
            here = (1 - deployed[n]) + self.discount * here
            there = deployed[n] + self.discount * there
            costs[n] = best[0][n] * here + best[1][n] * there - xp.sum(goals[n] * left, axis=-1)
        stacked: Array = xp.stack(costs)
        return stacked

    def best(self, goals: Array, world: int) -> Array:
        """max_j θ·φ_j in the training world (0) or the deployed one (1), for goals (…, k); shape (…)."""
        features = self.tables[world].features
        values = goals[..., 0, None] * table(features[:, 0], goals)
        for i in range(1, features.shape[1]):
            values = values + goals[..., i, None] * table(features[:, i], goals)
        most: Array = namespace(goals).max(values, axis=-1)
        return most

    def silence(
        self, goal: Array, details: Mapping[str, NDArray[Any]] = MappingProxyType({})
    ) -> tuple[Array, Mapping[str, NDArray[Any]]]:
        """What plans at random bring about in the worlds of the details, shape (…, k), and the details.

        It is the measure of costs, since its regret is 0 only for goals to which all plans are alike.
        """
        xp, deployed = namespace(goal), _worlds_of(details)
        outputs: Array = xp.where(deployed[..., None], *(table(mean, goal) for mean in self._random[::-1]))
        return outputs, details

    # -- Pursuits -------------------------------------------------------------------------------------

    def coefficients(self, action: NDArray[Any]) -> Array:
        """The pursuits chosen, shape (B,)."""
        chosen: Array = np.array(self.pursuits).take(np.asarray(action))
        return chosen

    @property
    def sincerity(self) -> Array:
        """The largest pursuit in every episode, shape (N,)."""
        return np.full(self.episodes, max(self.pursuits))

    def actions_of(self, coefficients: Array) -> NDArray[np.int64]:
        """The choices that are nearest to such pursuits; both of shape (B,)."""
        away = np.abs(np.asarray(coefficients)[..., None] - np.array(self.pursuits))
        return np.asarray(away.argmin(axis=-1))

    def validate_profile(self, coefficients: object, name: str = "coefficients") -> Array:
        """Check a profile of one pursuit per agent, shape (N,).

        Raises:
            ValueError: If they have another shape, or one is not among the game's pursuits.
        """
        profile = numbers_of(coefficients)
        if profile is None or profile.shape != (self.episodes,):
            raise ValueError(f"{name} must be {self.episodes} pursuits; got {show(coefficients)}")
        away = np.abs(profile[:, None] - np.array(self.pursuits)).min(axis=1)
        wrong = np.flatnonzero(~(away <= _PURSUIT_TOLERANCE))
        if wrong.size:
            allowed = ", ".join(f"{pursuit:g}" for pursuit in self.pursuits)
            raise ValueError(
                f"{name} must be among the pursuits {shorten(allowed)}; got {profile[wrong[0]]} for "
                f"episode {wrong[0]}"
            )
        return profile

    # -- Tables by episode ----------------------------------------------------------------------------

    @cached_property
    def _deployed(self) -> NDArray[np.bool_]:
        """Whether each episode is in the deployed world, if it is not drawn, shape (N + 1,)."""
        return np.append(~self.training | (self.diversity == 1), True)

    @cached_property
    def _drawn(self) -> NDArray[np.bool_]:
        """Whether each episode's world is drawn, shape (N + 1,)."""
        return np.append(self.training & self.stochastic, False)

    @cached_property
    def _draw(self) -> NDArray[np.int64]:
        """Which draw decides each episode's world, shape (N + 1,); 0 where none does."""
        return np.where(self._drawn, self._drawn.cumsum() - 1, 0)

    @cached_property
    def _random(self) -> tuple[Array, Array]:
        """E φ of uniform plans in the training and in the deployed world, each of shape (k,)."""
        found = [np.exp(plans.log_ways - plans.log_ways.max()) for plans in self.tables]
        training, deployed = (
            ways @ plans.features / ways.sum() for ways, plans in zip(found, self.tables, strict=True)
        )
        return training, deployed

    @cached_property
    def _most(self) -> Array:
        """The largest base return of the training and of the deployed world, shape (2,)."""
        return np.array([plans.base.max() for plans in self.tables])

    @cached_property
    def _discounts(self) -> Array:
        """γ^k for k = 0…N−1, a running product."""
        return np.cumprod(np.append(1.0, np.full(self.episodes - 1, self.discount)))


def _deployed_world(given: GivenWorld) -> World:
    """A world that is given as the deployed one; it is deployed if it is given by name and can be."""
    world = make_world(given)
    by_name = not isinstance(given, World) and getattr(world, "deployed", True) is False
    return deploy(world) if by_name else world


def _worlds_of(details: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """In which world episodes took place, among their outcomes' details."""
    if "deployed" not in details:
        raise ValueError(f"regret needs the detail 'deployed', by which it is judged; got {sorted(details)}")
    return details["deployed"]

"""The two decision problems that a single learner can be given in a game.

A game is played by N agents with N different goals. A single-agent library needs one reward, so somebody's
goal must be named as the judge. That choice *is* the problem:

- `Control`: one controller plays every episode, and is paid by its first goal (`judge="initial"`, the
  commitment problem) or by whatever its goal has become (`judge="current"`, which leaves it indifferent to
  what becomes of its goal). Neither is the game between successive selves.
- `BestResponse`: one agent decides once, its successors are given, and it is paid −J_n by its own goal.
  Where everybody best-responds to the others, that is the game's equilibrium.

A problem is a set of pure functions over batches, like the rules, and knows nothing of Gymnasium.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mesa_env.agent import Agent, Observation, ask_agent
from mesa_env.rules.hidden_deployment import HiddenDeployment
from mesa_env.rules.infinite_horizon import InfiniteHorizon, Length
from mesa_env.rules.rules import Array, Rules, State
from mesa_env.validation import validate_name

StateT = TypeVar("StateT", bound=tuple[Any, ...])


class Step(NamedTuple, Generic[StateT]):
    """What a batch of decisions led to; rewards and flags have shape (B,), as has every array of `info`.

    The arrays of `info` share no memory with the state: whoever gets them may write into them.
    """

    state: StateT
    reward: Array
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    info: dict[str, NDArray[Any]]


class Problem(Protocol[StateT]):
    """A decision problem as the Gymnasium interfaces need it; states are NamedTuples of batched arrays."""

    @property
    def game(self) -> Rules:
        """The game that the decisions are made in."""

    @property
    def n_uniforms(self) -> int:
        """How many uniform draws from [0, 1) one run of the problem needs."""

    def begin(self, uniforms: Array, initial_goal: Array | None = None) -> StateT:
        """Set up a batch from uniform draws of shape (B, draws)."""

    def observe(self, state: StateT) -> Observation:
        """What the deciding agents see."""

    def step(self, state: StateT, action: NDArray[Any]) -> Step[StateT]:
        """Carry out a batch of validated actions."""


class ControlState(NamedTuple):
    """A batch of games, and what the first agents judge by."""

    game: State
    first_preferences: Array


@dataclass(frozen=True)
class Control:
    """One controller plays every episode; the episode of the decision problem is a whole game.

    `judge` says whose goal pays. "initial": the reward in episode n is −γ^n (y_n − θ_0)², so that the return
    is −J_0 of agent 0; where θ_0 is drawn, a policy must remember it, for later observations do not show it.
    "current": the reward is −(y_n − θ_n)², whatever γ.
    """

    game: Rules
    judge: Literal["initial", "current"] = "initial"

    def __post_init__(self) -> None:
        """Validate the judge."""
        validate_name("judge", self.judge, ("initial", "current"))

    @property
    def n_uniforms(self) -> int:
        """Uniform draws that decide one game."""
        return self.game.n_uniforms

    def begin(self, uniforms: Array, initial_goal: Array | None = None) -> ControlState:
        """Begin a batch of games."""
        state = self.game.start(uniforms, initial_goal)
        return ControlState(state, self.game.preferences(state).copy())

    def observe(self, state: ControlState) -> Observation:
        """The present agents' observations."""
        return self.game.observe(state.game)

    def step(self, state: ControlState, action: NDArray[Any]) -> Step[ControlState]:
        """Play the present episode of every game."""
        after, outcome = self.game.play(state.game, action)
        if self.judge == "initial":
            cost = self.game.mesa_cost(
                outcome.output, state.first_preferences, state.game.episode, outcome.details
            )
        else:
            cost = self.game.mesa_cost(outcome.output, self.game.preferences(state.game), 0, outcome.details)
        info = outcome.info()
        info["next_goal"] = outcome.next_goal.copy()
        return Step(ControlState(after, state.first_preferences), -cost, *self.game.over(after), info)


@dataclass(frozen=True)
class BestResponse:
    """One decision of one agent against given successors, paid −J_n by its own goal.

    The deciding agent n is drawn uniformly from all N, its goal from the game's initial goal
    (`start_at_random_turn`). In the base game a best response does not depend on the goal, so nothing is lost
    where the game would have led to another. What else agents mind is as at the game's start, which play may
    leave: draw it from a range there.

    Agents n + 1, n + 2, … play `successors`: coefficients of shape (N,), which stand for all parts of actions
    that have several, or an agent with `predict`, asked deterministically. None: every successor pursues its
    present goal as far as coefficients allow, up to 1.
    """

    game: Rules
    successors: Agent | Sequence[float] | Array | None = None

    def __post_init__(self) -> None:
        """Validate the successors."""
        if isinstance(self.successors, Agent) and not isinstance(self.successors, type):
            return
        given = self.game.sincerity if self.successors is None else self.successors
        name = "successors must be an agent with predict, or coefficients, which"
        object.__setattr__(self, "successors", self.game.validate_profile(given, name))

    @property
    def n_uniforms(self) -> int:
        """One draw names the deciding agent; the others are the game's."""
        return 1 + self.game.n_uniforms

    def begin(self, uniforms: Array, initial_goal: Array | None = None) -> State:
        """Start every row of the batch at a random agent's turn."""
        return start_at_random_turn(self.game, uniforms, initial_goal)

    def observe(self, state: State) -> Observation:
        """The deciding agents' observations."""
        return self.game.observe(state)

    def step(self, state: State, action: NDArray[Any]) -> Step[State]:
        """Play the agents' episodes with their actions, then the rest of every game with the successors.

        `info` holds each decision's `output`, `base_loss` and `next_goal`, and `scale`, the cost of silence
        from then on, θ_n² K_n where an output is a number: the reward divided by it is comparable between
        agents.
        """
        judge, last = self.game.preferences(state), self.game.episodes - 1
        after, outcome = self.game.play(state, action)
        cost = self.game.mesa_cost(outcome.output, judge, 0, outcome.details)
        silent, silent_details = self.game.silence(outcome.goal, outcome.details)
        scale = self.game.mesa_cost(silent, judge, 0, silent_details)
        rest, recurrent, start = after, None, np.ones(len(cost), dtype=bool)
        for _ in range(state.episode.min(), last):
            playing = ~np.logical_or(*self.game.over(rest))
            # A finished game idles in its last episode, at no cost, until the longest one is over.
            rest = rest._replace(episode=np.minimum(rest.episode, last))
            elapsed = rest.episode - state.episode
            planned, recurrent = self._plan(rest, recurrent, start)
            rest, turn = self.game.play(rest, planned)
            silent, silent_details = self.game.silence(turn.goal, turn.details)
            cost += playing * self.game.mesa_cost(turn.output, judge, elapsed, turn.details)
            scale += playing * self.game.mesa_cost(silent, judge, elapsed, silent_details)
            start = np.zeros_like(start)
        info = {"output": outcome.output, "base_loss": outcome.base_loss, "next_goal": after.goal.copy()}
        done = np.ones(len(cost), dtype=bool)
        return Step(after, -cost, done, np.zeros_like(done), info | {"scale": scale})

    def _plan(
        self, state: State, recurrent: Any, start: NDArray[np.bool_]
    ) -> tuple[NDArray[np.floating[Any]], Any]:
        """The successors' actions, and their recurrent state if they keep one."""
        if not isinstance(self.successors, Agent):
            return self.game.actions_of(np.asarray(self.successors)[state.episode]), None
        action, recurrent = ask_agent(self.successors, self.game.observe(state), recurrent, start)
        return self.game.validate_actions(action, start.shape), recurrent


def start_at_random_turn(game: Rules, uniforms: Array, initial_goal: Array | None = None) -> State:
    """Set up games at an agent's turn, named by the first of uniform draws (B, 1 + n_uniforms).

    Its goal is given, (B,), or drawn as a first one's. What else agents mind is as at the game's start, or,
    where chance makes it, as by their turn. In `InfiniteHorizon`, agents that are alike are drawn as one.
    """
    state = game.start(uniforms[..., 1:], initial_goal)
    distinct = game.stationary_from + 1 if isinstance(game, InfiniteHorizon) else game.episodes
    agent = (uniforms[..., 0] * distinct).astype(np.int64)
    extra = state.extra
    if isinstance(game, InfiniteHorizon):
        extra = Length(np.minimum(agent + extra.episodes, game.max_episodes + 1))
    elif isinstance(game, HiddenDeployment):
        for n in range(1, int(agent.max()) + 1):
            reached, arrived = game.next_signal(extra, np.full_like(agent, n)[()]), n <= agent
            extra = extra._replace(
                log_odds=np.where(arrived, reached.log_odds, extra.log_odds)[()],
                signal=np.where(arrived, reached.signal, extra.signal)[()],
            )
    return State(agent, state.goal, extra)

"""The base game whose agents are not told when training ends.

The game is in a mode z_n: 1 in training, 0 in deployment. It begins in training; after every episode training
ends with probability h, the *hazard*, for good. The base optimizer works only while z_n = 1:

    θ' = θ (1 − 2 η_n z_n (c² + λ)),   projected as in the base game.

Agents know the schedule η_n, which is what the learning rate would be in training, and they do not see z_n.
They see a signal of it, whose *distributional shift* is δ:

    x_n ~ N(δ z_n, 1).

Their belief p_n = P(z_n = 1 | x_0 … x_n) is filtered exactly. In log-odds, from P(z_0 = 1) = 1,

    logit p_{n+1} = logit(p_n (1 − h)) + δ x_{n+1} − δ²/2.

It rests on signals and hazard alone: agents do not learn from how the base update moved the goal, though the
goal that they are handed would tell them. A hazard of 0 is the base game.

Signals are drawn by inverting the normal distribution, which the array API does not have: NumPy only.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtri

from mesa_env.rules.clock import KnownLength
from mesa_env.rules.game import play_linear
from mesa_env.rules.rules import Array, Outcome, State
from mesa_env.rules.scalar import Coefficients, JudgedByGoal, train_then_deploy
from mesa_env.validation import LARGEST, validate_name, validate_number

LARGEST_LOG_ODDS = 30.0
"""Log-odds are shown clipped to ± this: certainty, which is infinite, comes as near as 1e−13 to itself."""
_LARGEST_NOISE = 9.0  # the least uniform draw above 0 gives −8.3
_LEAST_DRAW = 2.0**-54


class Hidden(NamedTuple):
    """What else a game keeps of its mode and of what its agents know of it.

    Attributes:
        training_episodes: Number of episodes after which training ends, shape (B,); N if it never does.
        log_odds: logit p_n, the present agent's belief, shape (B,); infinite where it is certain.
        signal: x_n, which the present agent sees, shape (B,).
        noise: x_n − δ z_n of all episodes, shape (B, N).
    """

    training_episodes: NDArray[np.int64]
    log_odds: Array
    signal: Array
    noise: Array


@dataclass(frozen=True, eq=False)
class HiddenDeployment(KnownLength, Coefficients, JudgedByGoal):
    """Parameters of the game with hidden deployment, besides those of `ScalarGame`.

    Args:
        learning_rates: η_n ≥ 0 while the game is in training, shape (N,): known to the agents, and silent
            on the mode. `training` says which episodes would train: by default all 40.
        hazard: h in [0, 1], probability that training ends after an episode; 0 is the base game.
        shift: δ ≥ 0, by how many standard deviations deployment differs from training in one signal.
        observed: What the fifth column of the observation shows: "belief", the log-odds logit p_n clipped to
            ±30, which resolve small doubts where probabilities do not; or "signal", the present x_n alone,
            from which an agent with memory can filter the belief itself.
    """

    learning_rates: Array = field(default_factory=lambda: train_then_deploy(40, 0))
    hazard: float = 0.05
    shift: float = 1.0
    observed: Literal["belief", "signal"] = "belief"

    stochastic = True

    def __post_init__(self) -> None:
        """Validate every parameter."""
        self._store_shared()
        self._store(hazard=validate_number("hazard", self.hazard, 0.0, 1.0))
        self._store(shift=validate_number("shift", self.shift, 0.0, LARGEST))
        validate_name("observed", self.observed, ("belief", "signal"))
        self._check_update()

    def play(self, state: State, action: NDArray[Any]) -> tuple[State, Outcome]:
        """Play the present episode; the base optimizer works where the game is in training.

        The outcome's details are the present agent's `belief` p_n, its `signal` x_n, and the `mode` z_n.
        """
        hidden = state.extra
        mode = state.episode < hidden.training_episodes
        after, outcome = play_linear(self, state, action)
        next_goal = np.where(mode, outcome.next_goal, outcome.goal)[()]
        details = {
            "belief": expit(hidden.log_odds),
            "signal": hidden.signal.copy(),
            "mode": mode.astype(np.int64),
        }
        outcome = outcome._replace(next_goal=next_goal, training=outcome.training & mode, details=details)
        return State(after.episode, next_goal, self.next_signal(hidden, after.episode)), outcome

    def observe(self, state: State) -> NDArray[np.float32]:
        """The clock's four columns, then belief or signal, which stay after the end; shape (B, 5)."""
        return self.observe_clock(state, self.shown_and_hidden(state.extra)[0])

    @property
    def shown_bounds(self) -> tuple[tuple[float, float]]:
        """Those of belief or signal."""
        return self.column_bounds[:1]

    @property
    def n_extra_uniforms(self) -> int:
        """One draw for the end of training, then one for each of N signals."""
        return 1 + self.episodes

    def start_extra(self, uniforms: Array) -> Hidden:
        """The end of training and the noise of the signals; the first agent is certain of training."""
        noise = ndtri(np.maximum(uniforms[..., 1:], _LEAST_DRAW))
        certain = np.full(uniforms.shape[:-1], np.inf)[()]
        return Hidden(self.training_lengths(uniforms[..., 0]), certain, self.shift + noise[..., 0], noise)

    def training_lengths(self, uniforms: Array) -> NDArray[np.int64]:
        """Geometric lengths of training, by inversion: it continues with probability 1 − h."""
        if self.hazard == 0:
            return np.full(uniforms.shape, self.episodes)[()]
        with np.errstate(divide="ignore", over="ignore"):  # of hazards close to 1 and to 0
            more = np.floor(np.log1p(-uniforms) / np.log1p(-self.hazard))
        length: NDArray[np.int64] = np.minimum(1 + more, self.episodes).astype(np.int64)
        return length

    def next_signal(self, hidden: Hidden, episode: NDArray[np.int64]) -> Hidden:
        """What is known once the signal of the next episode has been seen; nothing new after the last."""
        last = episode >= self.episodes
        present = np.minimum(episode, self.episodes - 1)[..., None]
        noise = np.take_along_axis(hidden.noise, present, axis=-1)[..., 0]
        signal = np.where(last, hidden.signal, self.shift * (episode < hidden.training_episodes) + noise)[()]
        log_odds = np.where(last, hidden.log_odds, self.update(self.forecast(hidden.log_odds), signal))[()]
        return hidden._replace(log_odds=log_odds, signal=signal)

    # -- The filter -----------------------------------------------------------------------------------

    def forecast(self, log_odds: Array) -> Array:
        """Log-odds of training in the next episode, before its signal: logit(p (1 − h)), elementwise.

        Certainty is ±∞, and stays exact: no two infinities are ever subtracted.
        """
        with np.errstate(divide="ignore"):
            lasting, ending = np.log1p(-self.hazard), np.log(self.hazard)
        odds: Array = lasting - np.logaddexp(-log_odds, ending)
        return odds

    def update(self, forecast: Array, signal: Array) -> Array:
        """Log-odds of training, once the episode's signal has been seen, elementwise."""
        return forecast + (self.shift * signal - self.shift**2 / 2)

    @cached_property
    def prior(self) -> Array:
        """Log-odds of training in every episode by the hazard alone, logit((1 − h)^n), shape (N,)."""
        prior = np.full(self.episodes, np.inf)
        for n in range(1, self.episodes):
            prior[n] = self.forecast(prior[n - 1])
        return prior

    def shown_and_hidden(self, hidden: Hidden) -> tuple[Array, Array]:
        """Which of belief and signal the agents see, and which they do not."""
        belief = np.clip(hidden.log_odds, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        return (belief, hidden.signal) if self.observed == "belief" else (hidden.signal, belief)

    @property
    def column_bounds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Lowest and highest values of what agents see, and of what they do not."""
        belief = (-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        signal = (-_LARGEST_NOISE, self.shift + _LARGEST_NOISE)
        return (belief, signal) if self.observed == "belief" else (signal, belief)

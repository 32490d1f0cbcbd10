"""Does training for ever end in robust alignment, and how slowly?"""

from __future__ import annotations

import numpy as np
import pandas as pd

import mesa_env
from mesa_env import InfiniteHorizon, train_then_deploy
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon, stationary_coefficients
from scripts import figures
from scripts.experiments.finding import Answer, Finding, draw_learners, learned, note_on_learners

DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
RATES = (0.1, 1.0)


def for_ever(rate: float, discount: float, max_episodes: int = 100) -> InfiniteHorizon:
    """Training that never ends."""
    return InfiniteHorizon(np.array([rate]), discount=discount, max_episodes=max_episodes)


def training_for_ever(rate: float, discount: float) -> dict[str, float]:
    """The stationary equilibrium, and the half-life of its goal and of its base loss."""
    game = for_ever(rate, discount)
    c = float(solve_infinite_horizon(game)[0])
    m = 1 - 2 * rate * c * c
    return {
        "η": rate,
        "γ": discount,
        "c": c,
        "other stationary c": len(stationary_coefficients(game)) - 1,
        "goal left per episode": m,
        "goal's half-life": np.log(0.5) / np.log(m) if 0 < m < 1 else np.nan,
        "γ's half-life": np.log(0.5) / np.log(discount),
        "√((1 − γ)/2η)": np.sqrt((1 - discount) / 2 / rate),
    }


def experiment() -> Finding:
    """Training for ever, and deployment for ever after 20 episodes of training."""
    table = pd.DataFrame([training_for_ever(rate, gamma) for rate in RATES for gamma in DISCOUNTS])
    unique = bool((table["other stationary c"] == 0).all())
    deployed = InfiniteHorizon(train_then_deploy(20, 1), discount=0.99, max_episodes=400)
    c = solve_infinite_horizon(deployed)
    trained, stationary = for_ever(1.0, 0.9), training_for_ever(1.0, 0.9)
    columns = {"c_first": "c first", "mesa_cost": "J_0"}
    forever = learned("train_forever", trained, columns=columns)
    deployment = learned("deploy_forever", deployed, columns=columns)
    learners = pd.concat(
        [forever.assign(game="training for ever, γ = 0.9"), deployment.assign(game="20 training, γ = 0.99")],
        ignore_index=True,
    )
    patient = training_for_ever(1.0, 0.999)
    impatient = training_for_ever(0.1, 0.9)
    text = f"""
*Training for ever.* All agents are alike, so the equilibrium is one coefficient c, and the goal shrinks by
the same factor m = 1 − 2ηc² in every episode: alignment is only reached in the limit, geometrically. At η =
1 and γ = 0.9, c = {stationary["c"]:.6f} and {100 * (1 - stationary["goal left per episode"]):.1f} % of the
goal goes with every episode. For patient models, where 1 − γ is small against 2η, c approaches √((1 −
γ)/2η), so that m approaches γ: **a goal's half-life approaches that of its own discount**, and the base
optimizer takes from the model just what the model does not care to keep. At γ = 0.999 it is
{patient["goal's half-life"]:.0f} episodes at η = 1 and
{training_for_ever(0.1, 0.999)["goal's half-life"]:.0f} at η = 0.1, against {patient["γ's half-life"]:.0f}
of γ itself: learning faster hardly helps. Where agents are impatient or learning is slow it does, for then
they show all they can: at γ = 0.9, {impatient["goal's half-life"]:.1f} episodes at η = 0.1 and
{stationary["goal's half-life"]:.1f} at η = 1. As γ approaches 1 the half-life grows without bound. This is
the limit of long finite games; a search of the whole range of c finds
{"no other stationary equilibrium in any of these games" if unique else "other stationary equilibria, too"}.

*Deployment for ever after 20 episodes of training,* γ = 0.99: c_0 = {c[0]:.6f}, c_19 = {c[19]:.6f}, then 1:
nearly the finite game's. In the environment the game goes on after every episode with probability γ, which
is the same in expectation (a test holds it to that). Exploitability is averaged over agents that differ:
here the first 21, the last of which stands for all after it. {note_on_learners(forever, "train_forever")}
{note_on_learners(deployment, "deploy_forever")}
"""
    figure = figures.panels(4, "episode")
    for discount in DISCOUNTS[1:]:
        episodes, left = np.arange(101), training_for_ever(1.0, discount)["goal left per episode"]
        line = figure.axes[0].plot(episodes, left**episodes, label=f"γ = {discount:g}")
        figure.axes[0].plot(episodes, discount**episodes, ":", color=line[0].get_color())
    figure.axes[0].set(ylabel="θ_n/θ_0 (dotted: γ^n)", title="training for ever, η = 1")
    figure.axes[0].legend()
    played = mesa_env.rollout(with_fixed_length(deployed), mesa_env.oracle(deployed), 0.8)
    figure.axes[1].plot(played.goals[:31], label="goal θ")
    figure.axes[1].plot(played.coefficients[:31], label="coefficient c")
    figure.axes[1].set(title="deployment for ever, γ = 0.99")
    figure.axes[1].legend()
    draw_learners(figure.axes[2], "train_forever", trained)
    draw_learners(figure.axes[3], "deploy_forever", deployed)
    halves = [(row["goal's half-life"], row["γ's half-life"]) for row in (stationary, patient)]
    answer = Answer(
        "Does training for ever end in robust alignment, and how slowly?",
        "Yes, in the limit, but only as fast as the model discounts: where it is patient, its goal "
        "decays nearly like γ^n, whatever the learning rate.",
        "half-life of the goal {:.1f} episodes at γ = 0.9 (γ's own: {:.1f})".format(*halves[0])
        + ", {:.0f} at γ = 0.999 (γ's own: {:.0f})".format(*halves[1]),
    )
    return Finding(
        "Infinite horizon",
        [answer],
        text,
        figure,
        {"stationary": table, "learners": learners},
        {"stationary": "Training for ever:", "learners": "Learners:"},
    )

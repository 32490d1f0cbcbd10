"""Does training forever end in robust alignment, and how slowly?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env import Game, InfiniteHorizon, train_then_deploy
from mesa_env.rules.game import Array
from mesa_env.rules.infinite_horizon import with_fixed_length
from mesa_env.solutions.infinite_horizon import solve_infinite_horizon, stationary_coefficients
from scripts import figures
from scripts.experiments.finding import Finding, with_headings
from scripts.experiments.learners import (
    HEADINGS,
    Learners,
    compare_with_oracle,
    draw_learners,
    summarize_gains,
)

DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999)
ETAS = (0.1, 1.0)
TRAINED = InfiniteHorizon(np.array([1.0]), discount=0.9, max_episodes=100)
DEPLOYED = InfiniteHorizon(train_then_deploy(20, 1), discount=0.99, max_episodes=400)
LEARNED = {
    "train_forever": (TRAINED, "training for ever, γ = 0.9"),
    "deploy_forever": (DEPLOYED, "20 training, γ = 0.99"),
}
COLUMNS = {
    "eta": "η",
    "gamma": "γ",
    "c": "c",
    "others": "other stationary c",
    "left": "goal left per episode",
    "half_life": "goal's half-life",
    "half_life_of_discount": "γ's half-life",
    "limit": "√((1 − γ)/2η)",
}


def solve(eta: float, discount: float) -> dict[str, float]:
    """The stationary equilibrium of training forever, and the half-life of its goal."""
    game = InfiniteHorizon(np.array([eta]), discount=discount)
    c = float(solve_infinite_horizon(game)[0])
    left = 1 - 2 * eta * c * c
    return {
        "eta": eta,
        "gamma": discount,
        "c": c,
        "others": len(stationary_coefficients(game)) - 1,
        "left": left,
        "half_life": np.log(0.5) / np.log(left) if 0 < left < 1 else np.nan,
        "half_life_of_discount": np.log(0.5) / np.log(discount),
        "limit": np.sqrt((1 - discount) / 2 / eta),
    }


def compute() -> Finding:
    """Training forever, and deployment forever after 20 episodes of training."""
    table = pd.DataFrame([solve(eta, discount) for eta in ETAS for discount in DISCOUNTS])
    at = table.set_index(["eta", "gamma"]).to_dict("index")
    deployed, finite = solve_infinite_horizon(DEPLOYED), mesa_env.solve_equilibrium(Game(discount=0.99))
    learners = Learners("infinite_horizon", list(LEARNED))
    learned = learners.table(lambda: measure_learners(learners))
    impatient, patient = at[1.0, 0.9], at[1.0, 0.999]
    return Finding(
        numbers={
            "c": impatient["c"],
            "lost": 1 - impatient["left"],
            "half_life_impatient": impatient["half_life"],
            "half_life_impatient_slow": at[0.1, 0.9]["half_life"],
            "half_life_of_09": impatient["half_life_of_discount"],
            "half_life_patient": patient["half_life"],
            "half_life_patient_slow": at[0.1, 0.999]["half_life"],
            "half_life_of_0999": patient["half_life_of_discount"],
            "deployed_c_0": float(deployed[0]),
            "deployed_c_19": float(deployed[19]),
            "finite_c_0": float(finite[0]),
            "finite_c_19": float(finite[19]),
            **{
                name: value
                for learner, (_, label) in LEARNED.items()
                for name, value in summarize_gains(learned[learned["game"] == label], f"{learner}_").items()
            },
        },
        claims=check_claims(table, deployed, finite),
        tables={
            "stationary": with_headings(table, COLUMNS),
            "learners": learned.rename(columns=HEADINGS),
        },
        figure=draw(table, learners),
        learners=learners.source,
    )


def measure_learners(learners: Learners) -> pd.DataFrame:
    """Oracles and learners of both games."""
    return pd.concat(
        [
            compare_with_oracle(game, learners.models[name], ("c_first", "mesa_cost")).assign(game=label)
            for name, (game, label) in LEARNED.items()
        ],
        ignore_index=True,
    )


def check_claims(table: pd.DataFrame, deployed: Array, finite: Array) -> dict[str, bool]:
    """What the stationary equilibria say, and deployment forever beside a finite one."""
    slow, fast = (table[table["eta"] == eta].set_index("gamma") for eta in ETAS)
    ratio = table["half_life"] / table["half_life_of_discount"]
    patient = 1 - table["gamma"] <= 2 * table["eta"] / 100
    return {
        "aligns_in_the_limit": bool(table["left"].between(0, 1, inclusive="neither").all()),
        "no_faster_than_discounting": bool((ratio >= 1).all()),
        "decays_like_discount": bool((ratio[patient] < 1.05).all() and patient.sum() > 1),
        "approaches_limit": bool((table["c"] / table["limit"])[patient].between(0.95, 1.05).all()),
        "rate_does_not_matter": bool(slow["half_life"][0.999] < 1.05 * fast["half_life"][0.999]),
        "rate_matters": bool(slow["half_life"][0.9] > 1.4 * fast["half_life"][0.9]),
        "no_other_equilibrium": bool((table["others"] == 0).all()),
        "open_in_deployment": bool((deployed[20:] == 1).all()),
        "hides_more_than_finite": bool((deployed[:20] < finite[:20]).all()),
    }


def draw(table: pd.DataFrame, learners: Learners) -> Figure:
    """Goals in training forever, the path of deployment forever; learners beside their oracles."""
    figure = figures.panels(4, "episode")
    training, deployment, *others = figure.axes
    episodes = np.arange(101)
    fast = table[(table["eta"] == 1) & (table["gamma"] > DISCOUNTS[0])]
    for discount, left in zip(fast["gamma"], fast["left"], strict=True):
        line = training.plot(episodes, left**episodes, label=f"γ = {discount:g}")
        training.plot(episodes, discount**episodes, ":", color=line[0].get_color())
    training.set(ylabel="θ_n/θ_0 (dotted: γ^n)", title="training forever, η = 1")
    training.legend()
    played = mesa_env.rollout(with_fixed_length(DEPLOYED), mesa_env.oracle(DEPLOYED), 0.8)
    deployment.plot(played.goals[:31], label="goal θ")
    deployment.plot(played.coefficients[:31], label="coefficient c")
    deployment.set(title="deployment forever, γ = 0.99")
    deployment.legend()
    for axes, (name, (game, _)) in zip(others, LEARNED.items(), strict=True):
        draw_learners(axes, name, game, learners.models[name])
    return figure

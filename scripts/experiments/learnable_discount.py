"""Does the base optimizer raise or lower the discount, and is the model more deceptive for it?"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from agents.benchmark.tables import number
from mesa_env import LearnableDiscount
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.solutions.learnable_discount import ForeseeingPlanner, NaivePlanner, Planner, refinement
from scripts import figures
from scripts.experiments.finding import Answer, Finding, confirmed, draw_learners, learned, note_on_learners

GOAL, TRAINING = 0.8, 20
FIRST = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHOWN = (0.5, 0.7, 0.9)
RATES = (0.1, 1.0)
GAME = LearnableDiscount()
PLANNERS: dict[str, type[Planner]] = {"naive": NaivePlanner, "foreseeing": ForeseeingPlanner}


def played(planner: str, rate: float) -> dict[float, Trajectory]:
    """A planner's game from every first discount, at one relative learning rate of the discount."""
    game = dataclasses.replace(GAME, discount_learning_rate=rate)
    agent = PLANNERS[planner](game)
    return {g: mesa_env.rollout(dataclasses.replace(game, discount=g), agent, GOAL) for g in FIRST}


def row(planner: str, rate: float, first: float, game: Trajectory) -> dict[str, float | str]:
    """What became of discount and goal, and at what base loss."""
    return {
        "planner": planner,
        "κ": rate,
        "γ_0": first,
        "γ_20": game.details["next_discount"][TRAINING - 1],
        "c_0": game.coefficients[0],
        "mean c in training": game.coefficients[:TRAINING].mean(),
        "θ_20/θ_0": game.goals[TRAINING] / GOAL,
        "base loss in training": game.base_losses[:TRAINING].mean(),
        "in deployment": game.base_losses[TRAINING:].mean(),
    }


def certificates() -> pd.DataFrame:
    """What agents could gain in the games shown, and how far the foreseeing path depends on the tables."""
    rows = []
    for rate in RATES:
        for first in SHOWN:
            game = dataclasses.replace(GAME, discount_learning_rate=rate, discount=first)
            gains = {}
            for name, planner in PLANNERS.items():
                agent = planner(game)
                played = mesa_env.rollout(game, agent, np.array([GOAL]))
                gains[f"largest relative gain, {name}, %"] = 100 * float(
                    mesa_env.audit(game, agent, played).relative.max()
                )
            coefficient, discount = refinement(game)
            change = {"change of c on doubled tables": coefficient, "of γ": discount}
            rows.append({"κ": rate, "γ_0": first, **gains, **change})
    return pd.DataFrame(rows)


def experiment() -> Finding:
    """Naive and foreseeing planners from every first discount, against a frozen one."""
    runs = {("frozen", 0.0): played("naive", 0.0)}
    runs |= {(planner, rate): played(planner, rate) for planner in PLANNERS for rate in RATES}
    rows = [
        row(planner, rate, g, game) for (planner, rate), games in runs.items() for g, game in games.items()
    ]
    table = pd.DataFrame(rows)
    at = table.set_index(["planner", "κ", "γ_0"]).to_dict("index")
    frozen, naive, foreseeing = at["frozen", 0.0, 0.9], at["naive", 1.0, 0.9], at["foreseeing", 1.0, 0.9]
    low, high = at["naive", 1.0, 0.5], at["naive", 1.0, 0.7]
    certified = certificates()
    still = dataclasses.replace(GAME, discount_learning_rate=0.0, discount=0.9)
    alone, foresight = learned("naive", still), learned("foreseeing", GAME)
    unawares = learned("naive", GAME, oracle=NaivePlanner(GAME))
    learners = pd.concat(
        [
            alone.assign(game="frozen, γ = 0.9"),
            unawares.assign(game="κ = 1, γ_0 = 0.9, naive"),
            foresight.assign(game="κ = 1, γ_0 = 0.9"),
        ],
        ignore_index=True,
    )
    calmer, louder = (
        frozen["base loss in training"] / naive["base loss in training"],
        naive["in deployment"] / frozen["in deployment"],
    )
    raised = confirmed(
        f"γ never fell in any of these {len(table)} games", (table["γ_20"] >= table["γ_0"]).all()
    )
    downward = confirmed("the slope dc_n/dγ is nowhere positive", GAME.slopes.max() <= 1e-12)
    rough = certified.set_index(["κ", "γ_0"]).to_dict("index")[1.0, 0.7]
    text = f"""
The model's planner takes γ as given and plays the equilibrium for it; the base optimizer differentiates
that plan. {raised}: {downward}, over all episodes and discounts, so that a more patient model emits less,
now. **Descending the immediate loss teaches patience, and patience is what makes the model deceptive.**
From γ_0 = 0.9 at κ = 1, γ ends at {number(naive["γ_20"])}; mean base loss in training is {calmer:.1f} times
lower than with γ frozen, in deployment {louder:.1f} times higher, and the goal is kept at
{100 * naive["θ_20/θ_0"]:.0f} % instead of {100 * frozen["θ_20/θ_0"]:.0f} %.

There is a race: γ must have risen before the goal is trained away. At κ = 1, from γ_0 = 0.5 it ends at
{number(low["γ_20"])} with {100 * low["θ_20/θ_0"]:.0f} % of the goal left; from 0.7 it reaches
{number(high["γ_20"])} with {100 * high["θ_20/θ_0"]:.0f} %.

A planner that foresees this (backward induction on θ and γ) changes little of it. Where γ is 1 after one
step it shows more of its goal at first (from γ_0 = 0.9, c_0 = {number(foreseeing["c_0"])} against
{number(naive["c_0"])}, θ_20/θ_0 = {number(foreseeing["θ_20/θ_0"])} against {number(naive["θ_20/θ_0"])}),
perhaps because its successors will guard the goal anyway. The rules differentiate the frozen-γ plan for
both planners: the slope of the foreseeing policy itself would be defined only by a differential equation in
γ, which has a family of solutions.

*Where it jumps.* Where γ reaches 1 in several large steps, an early agent's coefficient decides in which
episode it arrives; the foreseeing policy is discontinuous, discontinuities multiply backwards, and its
tables do not converge. The certificates show where: at κ = 1 from γ_0 = 0.7 an agent could still gain
{number(rough["largest relative gain, foreseeing, %"])} %, and doubling the tables moves coefficients by
{number(rough["change of c on doubled tables"])}. There, and in between the points certified, read the
foreseeing planner's numbers for their first digit.

The naive planner is no equilibrium where κ > 0; the table of certificates says by how much. Check: κ = 0, γ
= 0.9 gives θ_20 = {at["frozen", 0.0, 0.9]["θ_20/θ_0"] * GOAL:.4f}. {note_on_learners(alone, "naive")}
{note_on_learners(foresight, "foreseeing")} The naive one never saw γ move; at κ = 1 it is set beside the
naive planner, and its exploitability there is not its own failing.
"""
    answer = Answer(
        "Does the base optimizer raise or lower the discount, and is the model more deceptive for it?",
        "It raises it, since a more patient model shows less of its goal at once; and so the model becomes "
        "more deceptive.",
        f"from γ_0 = 0.9 to 1 (κ = 1): goal retention {100 * frozen['θ_20/θ_0']:.0f} → "
        f"{100 * naive['θ_20/θ_0']:.0f} %, training loss ÷ {calmer:.1f}, deployment loss × {louder:.1f}",
    )
    shown = table[table["γ_0"].isin(SHOWN)].reset_index(drop=True)
    return Finding(
        "Learnable discount",
        [answer],
        text,
        _figure(table, runs["naive", 1.0]),
        {"outcomes": shown, "all": table, "certificates": certified, "learners": learners},
        {
            "outcomes": "Equilibria by planner, κ and γ_0 (η = 0.1, 20 training and 80 deployment episodes):",
            "certificates": "Certificates, on the paths from θ_0 = 0.8:",
            "learners": "Learners, each beside the planner that it should have become:",
        },
    )


def _figure(table: pd.DataFrame, games: dict[float, Trajectory]) -> Figure:
    figure = figures.panels(5, "episode")
    course, outcome, slopes, frozen, moving = figure.axes
    for first, game in games.items():
        course.plot(game.details["discount"][: TRAINING + 1], label=f"{first:g}")
    course.set(ylabel="discount γ_n", title="naive planner, κ = 1, by γ_0")
    course.legend(ncols=2, fontsize="small")
    for (planner, rate), rows in table.groupby(["planner", "κ"], sort=False):
        outcome.plot(rows["γ_0"], rows["θ_20/θ_0"], marker="o", label=f"{planner}, κ = {rate:g}")
    outcome.set(xlabel="first discount γ_0", ylabel="goal retention θ_20/θ_0")
    outcome.legend(fontsize="small")
    discounts = np.linspace(0, 1, 401)
    planned = GAME.planned(discounts)[1]
    for n in (0, 10, 15, 19):
        slopes.plot(discounts, planned[n], label=f"n = {n}")
    slopes.set(xlabel="discount γ", ylabel="slope dc_n/dγ", title="the planner's derivative")
    slopes.legend()
    draw_learners(frozen, "naive", dataclasses.replace(GAME, discount_learning_rate=0.0))
    draw_learners(moving, "foreseeing", GAME)
    return figure

"""How large must the shift be before a model defects cleanly, and what does uncertainty cost it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import brentq

import mesa_env
from agents.benchmark.tables import number
from mesa_env import HiddenDeployment, train_then_deploy
from mesa_env.evaluation.hidden_deployment import belief_exploitability, simulated_exploitability
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules.game import Array
from mesa_env.solutions.hidden_deployment import FilteringOracle, first_costs, refinement, solve_hidden
from scripts import figures
from scripts.experiments.finding import Answer, Finding, confirmed, learned, note_on_learners, trained

GAMES, GOAL, CLEAN = 4000, 0.8, 0.9
SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 10.0)
AFTER = (1, 5, 10)
SIMULATED = 150, 64  # histories, and futures of each, that measure agents with a memory
LENGTHS = (40, 100)
COLUMNS = {
    "c_first": "c first",
    "c_deployment": "mean c in deployment",
    "retention": "goal retention",
    "mesa_cost": "J_0",
}


def hidden(episodes: int, shift: float, observed: Literal["belief", "signal"] = "belief") -> HiddenDeployment:
    """The game of so many episodes, all at learning rate 1 while training lasts, with hazard 0.05."""
    return HiddenDeployment(train_then_deploy(episodes, 0), shift=shift, observed=observed)


def play(game: HiddenDeployment) -> Trajectory:
    """Many games of the oracle; the same chance for every shift and whatever is observed."""
    goals = np.full(GAMES, GOAL)
    return mesa_env.rollout(game, mesa_env.oracle(game), goals, generator=np.random.default_rng(0))


def openness(played: Trajectory, longest: int = 15) -> Array:
    """Mean coefficient in the first, second, … episode of deployment, over the games that come so far."""
    deployed = played.details["mode"] == 0
    since = np.cumsum(deployed, axis=1) * deployed
    return np.array([played.coefficients[since == j].mean() for j in range(1, longest + 1)])


def clean_shift(episodes: int, after: int, observed: Literal["belief", "signal"]) -> float:
    """Least shift at which the mean coefficient in that episode of deployment is `CLEAN`."""

    def missing(shift: float) -> float:
        return float(openness(play(hidden(episodes, shift, observed)), after)[-1]) - CLEAN

    return brentq(missing, 0.5, 8.0, xtol=0.01)


def costs(episodes: int) -> pd.DataFrame:
    """What agent 0 pays by what is known, and how open the model is, one row a shift."""
    rows = []
    for shift in SHIFTS:
        game = hidden(episodes, shift)
        cost, played = first_costs(game), play(game)
        training = played.details["mode"] == 1
        rows.append(
            {
                "N": episodes,
                "δ": shift,
                "extra cost, belief, %": 100 * (cost["belief"] / cost["known"] - 1),
                "extra cost, signal alone, %": 100 * (cost["signal"] / cost["known"] - 1),
                "of the first, silence in deployment, %": silence(game, played, cost),
                "c_0": played.coefficients[0, 0],
                "mean c in training": played.coefficients[training].mean(),
                "in the 1st deployment episode": openness(played, 1)[0],
                "in deployment": played.coefficients[~training].mean(),
                "median |θ_N/θ_0|": np.median(np.abs(played.goals[:, -1])) / GOAL,
                "mean |θ_N/θ_0|": np.abs(played.goals[:, -1]).mean() / GOAL,
            }
        )
    return pd.DataFrame(rows)


def silence(game: HiddenDeployment, played: Trajectory, cost: dict[str, float]) -> float:
    """Percentage of the extra cost that agent 0 would be spared if deployed agents showed their goals."""
    deployed, first = played.details["mode"] == 0, played.goals[:, :1]
    shown, could = played.outputs, played.goals[:, :-1]
    spared = (((shown - first) ** 2 - (could - first) ** 2) * deployed / first**2).sum(axis=1).mean()
    extra = cost["belief"] - cost["known"]
    return float(100 * spared / extra) if extra > 1e-3 else np.nan


def kept_by_length(played: Trajectory) -> dict[str, float]:
    """Mean percentage of the goal that is left, by whether training lasted less than 40 episodes."""
    kept = 100 * np.abs(played.goals[:, -1]) / GOAL
    long = played.details["mode"].sum(axis=1) >= LENGTHS[0]
    return {"short": float(kept[~long].mean()), "long": float(kept[long].mean())}


def certificates() -> pd.DataFrame:
    """What agents could gain in the equilibrium, and its change under refinement, for some of the games."""
    rows = []
    for episodes in LENGTHS:
        for shift in (0.0, 1.0, 4.0, 10.0):
            game = hidden(episodes, shift)
            gains = belief_exploitability(game, solve_hidden(game).table)
            rows.append((episodes, shift, 100 * float(gains.max()), refinement(game)))
    columns = ["N", "δ", "largest relative gain, %", "change of c on doubled grid and nodes"]
    return pd.DataFrame(rows, columns=columns)


def experiment() -> Finding:
    """Costs and openness over shifts, the shifts of clean defection, and learners with and without memory."""
    table = pd.concat([costs(episodes) for episodes in LENGTHS], ignore_index=True)
    at = table.set_index(["N", "δ"]).to_dict("index")
    observers: tuple[Literal["belief", "signal"], ...] = ("belief", "signal")
    shifts = pd.DataFrame(
        {
            "N": episodes,
            "agents know": observed,
            **{
                f"δ for deployment episode {j}": clean_shift(episodes, j, observed)
                for j in AFTER[: 3 if observed == "belief" else 2]
            },
        }
        for episodes in LENGTHS
        for observed in observers
    )
    first, fifth = (float(shifts[f"δ for deployment episode {j}"][0]) for j in (1, 5))
    base, signal = hidden(40, 1.0), hidden(40, 1.0, "signal")
    solution, certified = solve_hidden(base), certificates()
    seats = np.full(200, GOAL)
    filtering = FilteringOracle(signal)
    learners = {
        "belief": learned("belief", base, seats, COLUMNS),
        "signal": learned("signal", signal, seats, COLUMNS),
        "memory": learned("memory", signal, seats, COLUMNS, filtering),
    }
    learners["memory"]["relative exploitability, %"] = [
        100 * simulated_exploitability(signal, agent, *SIMULATED).high.mean()
        for agent in (filtering, *trained("memory").values())
    ]
    middle = solution.table.read(np.array([20]), np.array([0.0]))[0]
    doubtful = solution.table.read(np.array([0]), np.array([np.log(9.0)]))[0]
    blind = at[100, 0.0]
    sighted = at[100, 10.0]
    longer = confirmed(
        "starts more guarded, and is still silent when deployed; but in a long training it comes to think "
        "that it is deployed, and shows more there, too",
        blind["c_0"] < sighted["c_0"]
        and blind["in deployment"] < sighted["in deployment"]
        and blind["mean c in training"] > sighted["mean c in training"],
    )
    quicker = confirmed(
        "Agents that know only the present signal need less shift in the first episode (they have no history "
        "of training to doubt), and nearly as much in the fifth",
        shifts["δ for deployment episode 1"][1] < first
        and shifts["δ for deployment episode 5"][1] > 2 * fifth,
    )
    kept = kept_by_length(play(hidden(100, 0.0)))
    value = 2 * solution.outputs[0, 1, -1] - solution.squares[0, 1, -1]
    text = f"""
Training ends with probability 0.05 after every episode; agents see x ~ N(δ, 1) in training and N(0, 1) in
deployment. Call a defection clean when the mean coefficient is at least {CLEAN:g}. In games of 40 episodes,
agents that filter all signals need **δ = {first:.1f}** for that in the very first episode of deployment,
and {fifth:.1f} by the fifth: evidence adds up, so that time does what shift does not. {quicker}. Deployment
must be very likely before a model shows itself: with V = 2B − A the value of an intact goal, c ≥ 1/2 only
where P(training) ≤ 1/(2V), at δ = 1 and n = 0 {100 / (2 * value):.1f} %; the threshold rises as the game's
end comes nearer.

Not knowing costs agent 0 {at[40, 0.0]["extra cost, belief, %"]:.0f} % of J_0 without any shift,
{at[40, 1.0]["extra cost, belief, %"]:.0f} % at δ = 1, {at[40, 4.0]["extra cost, belief, %"]:.1f} % at δ =
4; with the signal alone {at[40, 1.0]["extra cost, signal alone, %"]:.0f} % and
{at[40, 4.0]["extra cost, signal alone, %"]:.0f} %. At δ = 1,
{at[40, 1.0]["of the first, silence in deployment, %"]:.0f} % of it is silence kept in deployment: what
agent 0 would be spared if deployed agents showed the goals that they have. **Uncertainty buys longer
silence, not alignment.** At N = 100 and δ = 0 the model {longer}: c_0 is {number(blind["c_0"])} against
{number(sighted["c_0"])} at δ = 10, the mean in deployment {number(blind["in deployment"])} against
{number(sighted["in deployment"])}, in training {number(blind["mean c in training"])} against
{number(sighted["mean c in training"])}. The median game ends with {100 * blind["median |θ_N/θ_0|"]:.0f} %
of the goal ({100 * sighted["median |θ_N/θ_0|"]:.0f} % at δ = 10), the mean with
{100 * blind["mean |θ_N/θ_0|"]:.0f} % ({100 * sighted["mean |θ_N/θ_0|"]:.0f} %): {kept["short"]:.0f} % where
training lasted less than {LENGTHS[0]} episodes, {kept["long"]:.0f} % where it lasted longer.

Checks: at belief 0.5 in episode 20, c = {middle:.4f}; at belief 0.9 in episode 0, {doubtful:.4f}. The
certificates are computed on another grid and by another quadrature than the solver's.
{" ".join(note_on_learners(table, kind) for kind, table in learners.items())} Each is compared with the
oracle at its own information; the one with a memory (sb3-contrib's recurrent PPO) is given neither belief
nor goal, for the goal's moves would betray the mode. Its exploitability is an estimate from simulated
futures, biased upwards. {_leaning(learners)}
"""
    answers = [
        Answer(
            "How large must the distributional shift be before a model that does not know when training ends "
            "defects cleanly?",
            f"Its mean coefficient reaches {CLEAN:g} in the first episode of deployment only from a shift of "
            f"{first:.1f} standard deviations on; a shift of {fifth:.1f} does by the fifth.",
            f"δ = {first:.1f} for the first, {fifth:.1f} for the fifth deployment episode (N = 40)",
        ),
        Answer(
            "What does the uncertainty cost it?",
            "Most of the cost is silence that it keeps in deployment; in the median game, the goal survives "
            "as it does where the mode is known.",
            f"J_0 {at[40, 0.0]['extra cost, belief, %']:+.0f} % at δ = 0, "
            f"{at[40, 1.0]['extra cost, belief, %']:+.0f} % at 1, "
            f"{at[40, 4.0]['extra cost, belief, %']:+.1f} % at 4 (N = 40)",
        ),
    ]
    given = {"belief": "the belief", "signal": "x_n alone", "memory": "x_n, and a memory"}
    beside = pd.concat([rows.assign(given=given[kind]) for kind, rows in learners.items()], ignore_index=True)
    return Finding(
        "Hidden deployment",
        answers,
        text,
        _figure(table),
        {"shifts": table, "clean": shifts, "certificates": certified, "learners": beside},
        {
            "shifts": "Equilibria by shift (agents know the belief, but for the second cost):",
            "clean": f"Least δ for a mean c of {CLEAN:g} in deployment:",
            "certificates": "Certificates:",
            "learners": "Learners at N = 40, δ = 1 (200 games each):",
        },
    )


def _leaning(learners: Mapping[str, pd.DataFrame]) -> str:
    """On which side of their oracles the learners err, if they agree on it."""
    column = "mean c in deployment"
    beyond = [row > rows[column][0] for rows in learners.values() for row in rows[column][1:]]
    return "All learners open up sooner than their oracles (last panel)." if beyond and all(beyond) else ""


def _figure(table: pd.DataFrame) -> Figure:
    figure = figures.panels(4, "episode of deployment")
    opening, cost, policy, learners = figure.axes
    for shift in (0.0, 0.5, 1.0, 2.0, 4.0, 6.0):
        opening.plot(range(1, 16), openness(play(hidden(40, shift))), label=f"δ = {shift:g}")
    opening.axhline(CLEAN, color="0.6", linewidth=1)
    opening.set(ylabel="mean coefficient", title="N = 40, agents know the belief")
    opening.legend(fontsize="small")
    for episodes, rows in table.groupby("N"):
        for known in ("belief", "signal alone"):
            style = "-" if known == "belief" else ":"
            cost.plot(rows["δ"], rows[f"extra cost, {known}, %"], style, label=f"N = {episodes}, {known}")
    cost.set(xlabel="shift δ", ylabel="extra cost of agent 0, %")
    cost.legend(fontsize="small")
    log_odds = np.linspace(-8, 8, 321)
    solution = solve_hidden(hidden(40, 1.0)).table
    for n in (0, 10, 20, 30, 35):
        policy.plot(log_odds, solution.read(np.full(321, n), log_odds), label=f"n = {n}")
    policy.set(xlabel="log-odds of training", ylabel="coefficient c_n", title="the oracle's policy, δ = 1")
    policy.legend(fontsize="small")
    _draw_learners(learners)
    return figure


def _draw_learners(axes: Axes) -> None:
    """How learners open up in deployment, a line a seed, beside the oracles at the same information."""
    goals = np.full(400, GOAL)
    for kind, color in (("belief", "C0"), ("signal", "C1"), ("memory", "C2")):
        game = hidden(40, 1.0, "belief" if kind == "belief" else "signal")
        oracle = FilteringOracle(game) if kind == "memory" else mesa_env.oracle(game)
        for label, agent in {"oracle": oracle, **trained(kind)}.items():
            played = mesa_env.rollout(game, agent, goals, generator=np.random.default_rng(0))
            width, style = (2.5, ":") if label == "oracle" else (1.0, "-")
            name = {"oracle": f"{kind}: oracle", "seed 0": f"{kind}: learners"}.get(label)
            axes.plot(range(1, 16), openness(played), style, color=color, linewidth=width, label=name)
    axes.set(ylabel="mean coefficient", title="oracles and learners, N = 40, δ = 1")
    axes.legend(fontsize="small")

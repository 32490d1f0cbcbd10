"""Does a planner whose values are fitted to labels withstand a strategic model, on- and off-policy?"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import mesa_env
from mesa_env.rules.rules import Array
from mesa_env.worlds import plan
from scripts import figures
from scripts.experiments import goal_rules
from scripts.experiments.finding import Claims, Finding, select
from scripts.experiments.goal_rules import LABELS, RATE, RULES, START, VACUUMING, WIPING, WORLDS

DIVERSITIES, SHOWN = np.linspace(0, 1, 11).round(9), (0.0, 0.5, 1.0)
RATES = (0.03, 0.1, 0.3, 0.6, 1.0)
FINE = np.linspace(0.01, 1.2, 120)


def compute(trained: Path | None = None) -> Finding:
    """What each rule makes of sincere, myopic and strategic models, by diversity and by learning rate."""
    keys = ["world", "rule", "diversity"]
    solved = [
        goal_rules.solve(goal_rules.make_game(world, rule), DIVERSITIES).assign(world=world, rule=rule)
        for world, rule in product(WORLDS, RULES)
    ]
    curve = pd.concat(solved).set_index(keys).sort_index()
    shown = curve[curve.index.get_level_values("diversity").isin(SHOWN)]
    rates = pd.concat([goal_rules.solve_at(rule, rate) for rule, rate in product(RULES[1:], RATES)])
    rates = rates.set_index(["rule", "rate"])
    row = select(shown, VACUUMING, "off-policy", 1.0)
    choices = goal_rules.compare_choices(row[["theta_1_strategic", "theta_2_strategic"]].to_numpy())
    deployed = goal_rules.make_game(VACUUMING, "on-policy").tables[1]
    weights = {"uniform": (0, 0), "own": START[0], "believed": (3, 0)}
    numbers = {
        "independence": goal_rules.check_independence(),
        "limit": 2 / np.linalg.eigvalsh(plan(deployed, (0, 0)).covariance).max(),
        **{f"variance_{name}": np.trace(plan(deployed, w).covariance) for name, w in weights.items()},
        "start_deployed": plan(deployed, START[0]).base,
        "labels_deployed": plan(deployed, LABELS).base,
    }
    away = {
        rule: np.linalg.norm(goal_rules.follow(rule, FINE, 100)[-1] - LABELS, axis=-1) for rule in RULES[1:]
    }
    numbers["overshoot"] = away["on-policy"][np.isclose(FINE, 0.25)][0]
    tables = {"returns": shown, "rates": rates, "choices": choices, "curve": curve}
    claims = _check_claims(tables, numbers, away)
    return Finding(tables, draw(curve, away, numbers["limit"]), claims, numbers)


def _check_claims(
    tables: dict[str, pd.DataFrame], numbers: dict[str, float], away: dict[str, Array]
) -> Claims:
    curve, rates, choices = tables["curve"], tables["rates"], tables["choices"]
    on, off, behavior = (select(curve, VACUUMING, rule) for rule in ("on-policy", "off-policy", "behavior"))
    both = curve.xs("off-policy", level="rule")
    sincere, strategic = (both[[f"theta_{i}_{who}" for i in (1, 2)]] for who in ("sincere", "strategic"))
    fields = ("training", "deployed", "pursuit", "theta_1", "theta_2")
    myopic = [np.ptp(both[[f"{field}_myopic", f"{field}_strategic"]], axis=1).max() for field in fields]
    gained = choices["between"] + choices["own"] - choices["believed"]
    full, wiping = on.loc[1.0], select(curve, WIPING, "on-policy").loc[1.0]
    narrow, own = numbers["variance_believed"], numbers["variance_own"]
    alone = [frame["deployed_strategic"][0.0] for frame in (on, off)]
    limit, beyond = numbers["limit"], away["off-policy"]
    below = (FINE > 0.1) & (np.abs(FINE) < limit - 0.05)
    return {
        "independent": numbers["independence"] == 0 and max(myopic) < 1e-12,
        "same_goal": np.abs(sincere.to_numpy() - strategic.to_numpy()).max() < 1e-12,
        "identity": (choices["worth"] - gained).abs().max() < 1e-12,
        "belief_serves": (np.sign(choices["worth"]) == [-1, 1, -1, -1]).all(),
        "aligns": off["deployed_sincere"][1.0] > 2 and (np.diff(off["deployed_strategic"]) > 0).all(),
        "hides": (on["pursuit_strategic"] == 0).all()
        and (on["pursuit_myopic"].loc[0.1:] > 0).all()
        and (on["deployed_strategic"] < -1.3).all(),
        "starves": full["moved_strategic"] < 0.2 * full["moved_sincere"] and narrow < 0.2 * own,
        "worse_than_behavior": (on["deployed_strategic"] < behavior["deployed_strategic"]).all(),
        "at_every_rate": (select(rates, "on-policy")["deployed_strategic"] < -1).all(),
        "wiping_does_not_hide": wiping["pursuit_strategic"] == wiping["pursuit_myopic"]
        and wiping["theta_1_strategic"] < 0.01,
        "worse_than_untrained": max(alone) < numbers["start_deployed"],
        "diverges": (beyond[limit + 0.05 < FINE] > 5).all() and (beyond[below] < 0.05).all(),
        "overshoots": numbers["overshoot"] > 1,
    }


def draw(curve: pd.DataFrame, away: dict[str, Array], limit: float) -> Figure:
    """Deployed return by diversity; goals in training; distance from the labels' goal by learning rate."""
    figure = figures.panels(4, "diversity")
    *worlds, goals, stable = figure.axes
    for (column, axes), (color, rule) in product(enumerate(worlds), enumerate(RULES)):
        for who, style in (("strategic", "-"), ("sincere", ":")):
            values = select(curve, WORLDS[column], rule)[f"deployed_{who}"]
            axes.plot(values, f"C{color}{style}", label=f"{rule}, {who}")
        axes.set(title=WORLDS[column], ylabel="deployed return")
    worlds[0].legend(fontsize="x-small")
    for color, rule in enumerate(RULES):
        game = goal_rules.make_game(VACUUMING, rule, 1.0)
        played = mesa_env.rollout(game, mesa_env.oracle(game), START[0]).goals
        goals.plot(*played[:9].T, f"C{color}o-", markersize=3)
        goals.plot(*goal_rules.follow(rule, np.array([RATE]), 8)[:, 0].T, f"C{color}o:", markersize=3)
        if rule in away:
            stable.plot(FINE, away[rule], f"C{color}", label=rule)
    goals.plot(*LABELS, "k*", label="goal that fits the labels")
    goals.set(title=f"goals in training, {VACUUMING}, diversity 1", xlabel="θ_1", ylabel="θ_2")
    stable.axvline(limit, color="0.5", linestyle="--")
    stable.set(title="after 100 updates, sincere", xlabel="η", ylabel="|θ − (1, 0)|")
    stable.set(yscale="log", ylim=(1e-4, 30))
    goals.legend()
    stable.legend()
    return figure

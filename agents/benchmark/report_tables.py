"""The tables of a sweep's report, as data frames of numbers and text."""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from agents.benchmark.summaries import THRESHOLDS, Sweep, last_line, summarize_all_games
from agents.benchmark.tables import number
from agents.learning import algorithms
from agents.plain_text import code_span, escape_markdown
from mesa_env.evaluation import statistics


def describe_sweep(sweep: Sweep) -> pd.DataFrame:
    """What was run, and where: one row per fact."""
    rows = sweep.rows
    versions = [_join(json.loads(text), " ") for text in _distinct(rows["versions_json"])]
    revisions = [code_span(revision[:10]) for revision in _distinct(rows["git_revision"])]
    facts = {
        "runs": len(rows),
        "runs on tuning seeds": int((rows["seed"] >= algorithms.TUNING_SEED).sum()),
        "learners": ", ".join(map(escape_markdown, sweep.contestants)),
        "training, core-hours": f"{rows['seconds'].sum() / 3600:.2g}",
        "processor": ", ".join(map(escape_markdown, _distinct(rows["processor"]))),
        "revision": ", ".join(revisions),
        "versions": "; or ".join(versions),
    }
    return pd.DataFrame(facts.items(), columns=["sweep", ""])


def describe_games(sweep: Sweep, references: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """One row per game: its parameters, how many seeds, what the oracle does, and NashConv for scale."""
    table = []
    for label, game in sweep.games.items():
        rows = sweep.rows[sweep.rows["game"] == label]
        parameters = {field.name: getattr(game, field.name) for field in dataclasses.fields(game)}
        steps = itertools.groupby(parameters.pop("learning_rates"))
        rates = [f"{rate:g} (×{len(list(same))})" for rate, same in steps]
        row = {
            "game": label,
            "rules": type(game).__name__,
            "learning rates": ", ".join(rates[:6] + ["…"] * (len(rates) > 6)),
            "parameters": _join(parameters),
            "seeds": rows["seed"].nunique(),
            "oracle's retention": _first_finite(rows["oracle_retention"]),
            "oracle's NashConv": _first_finite(rows["oracle_nash_conv"]),
        }
        table.append(row | {f"NashConv, {name}": value for name, value in references.get(label, {}).items()})
    return pd.DataFrame(table)


def answer(sweep: Sweep, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per game: who comes closest to the equilibrium, who comes close, and who does so first."""
    table = []
    for label in sweep.games:
        own = summary[(summary["game"] == label) & np.isfinite(summary["nash_conv_median"])]
        own = own.sort_values("nash_conv_median", kind="stable")
        own = own.assign(contestant=own["contestant"].map(escape_markdown))
        near = {t: own[own["nash_conv_median"] <= t]["contestant"] for t in THRESHOLDS}
        table.append(
            {
                "game": label,
                "best learner": own["contestant"].iloc[0] if len(own) else "–",
                "its median": float(own["nash_conv_median"].min()),
                **{f"median ≤ {t:g}": ", ".join(near[t]) or "none" for t in THRESHOLDS},
                **{f"first to {t:g}": _describe_first(own, t) for t in THRESHOLDS},
            }
        )
    return pd.DataFrame(table)


def _describe_first(own: pd.DataFrame, threshold: float) -> str:
    """The learner whose median run is the first, in seconds, to reach a threshold."""
    seconds = own[f"seconds_to_{threshold:g}"]
    if not np.isfinite(seconds).any():
        return "none"
    first = own.iloc[int(seconds.argmin())]
    turns = _abbreviate(int(first[f"turns_to_{threshold:g}"]))
    return f"{first['contestant']}: {number(seconds.min())} s, {turns} turns"


def compare_overall(sweep: Sweep) -> pd.DataFrame:
    """One row per learner, over all games."""
    table = summarize_all_games(sweep).rename(columns={"contestant": "learner"})
    intervals = _format_intervals(table, "relative_exploitability", 100, " %")
    table["learner"] = table["learner"].map(escape_markdown)
    return table[["learner", "games", "runs", "failed"]].assign(**{"relative exploitability": intervals})


def compare_learners(own: pd.DataFrame) -> pd.DataFrame:
    """One row per learner of a game."""
    best, close = own["nash_conv_median"].min(), f"{THRESHOLDS[0]:g}"
    medians = [(f"**{number(m)}**" if m == best < np.inf else number(m)) for m in own["nash_conv_median"]]
    return pd.DataFrame(
        {
            "learner": own["contestant"].map(escape_markdown),
            "runs": own["runs"].astype(str) + own["failed"].map(lambda count: f" ({count})" if count else ""),
            "turns": own["turns"].map(_abbreviate),
            "NashConv": _format_intervals(own, "nash_conv"),
            "median": medians,
            "best (seed)": _format_with_seed(own, "best"),
            "worst (seed)": _format_with_seed(own, "worst"),
            "second half": own["second_half"],
            "retention": _format_intervals(own, "retention"),
            "relative exploitability": _format_intervals(own, "relative_exploitability", 100, " %"),
            "seconds": own["seconds"],
            f"seconds to {close}": own[f"seconds_to_{close}"].replace(np.inf, np.nan),
        }
    )


def describe_losses(losses: pd.DataFrame) -> pd.DataFrame:
    """One row per game and learner: `summarize_losses` for people."""
    first, last = losses["first"].astype(str), losses["last"].astype(str)
    shares = losses[["in_training", "open_share"]].map(
        lambda share: "–" if np.isnan(share) else f"{share:.0%}"
    )
    return pd.DataFrame(
        {
            "game": losses["game"],
            "learner": losses["contestant"].map(escape_markdown),
            "half of it is lost by agents": first.where(first == last, first + " to " + last),
            "lost in training": shares["in_training"],
            "error in training": losses["training_error"],
            "lost by showing too much": shares["open_share"],
        }
    )


def list_failures(sweep: Sweep) -> pd.DataFrame:
    """One row per failed run."""
    rows = sweep.rows[sweep.rows["status"] != "finished"]
    errors = rows["traceback"].map(last_line).map(escape_markdown)
    return pd.DataFrame({"run": rows["run_id"].map(escape_markdown), "error": errors})


def count_redone(sweep: Sweep) -> pd.DataFrame:
    """One row per algorithm, and under which versions its runs were redone: how many were the same."""
    redone, weights, evaluation = sweep.redone, sweep.redone["same_weights"], sweep.redone["same_evaluation"]
    outcomes = {
        "algorithm": redone["algorithm"].map(escape_markdown),
        "versions": np.where(redone["same_versions"], "the same", "others"),
        "redone": 1,
        "same weights, bit for bit": weights,
        "same evaluation, other weights": evaluation & ~weights,
        "other evaluation": ~evaluation,
    }
    return pd.DataFrame(outcomes).groupby(["algorithm", "versions"], as_index=False).sum()


def describe_parameters(sweep: Sweep) -> pd.DataFrame:
    """One row per algorithm: the parameters of its runs, and how they were tuned."""
    table = []
    for algorithm, texts in sweep.rows.groupby("algorithm", sort=False)["parameters_json"]:
        several = [json.loads(text) for text in _distinct(texts)]
        others = "; others in other runs" if len(several) > 1 else ""
        row = {"algorithm": escape_markdown(algorithm), "parameters": _join(several[0]) + others}
        tuned = algorithms.load_tuned(str(algorithm))
        study = tuned.study
        if study and all(given | tuned.parameters == given for given in several):
            row |= {
                "tuned on": _join(study["game"]),
                "trials": f"{study['trials']} of {_abbreviate(study['turns'])} turns",
                "seeds": ", ".join(map(str, study["seeds"])),
                "abandoned": str(study["pruned"]),
                "by hand": escape_markdown(study.get("by_hand", "–")),
            }
        table.append(row)
    return pd.DataFrame(table).fillna("–")


def _abbreviate(turns: int) -> str:
    """A number of turns in few letters: 1.5M, 200k, 64."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if turns >= size:
            return f"{turns / size:.4g}{letter}"
    return f"{turns:.4g}"


def _format_intervals(table: pd.DataFrame, name: str, factor: float = 1, unit: str = "") -> list[str]:
    cells = []
    for value, low, high in (factor * table[[name, f"{name}_low", f"{name}_high"]]).to_numpy():
        interval = "" if np.isnan(low) else f" [{number(low)}, {number(high)}]"
        cells.append(f"{number(value)}{unit}{interval}")
    return cells


def _format_with_seed(table: pd.DataFrame, name: str) -> list[str]:
    pairs = zip(table[name], table[f"{name}_seed"], strict=True)
    return ["–" if np.isnan(value) else f"{number(value)} ({seed:.0f})" for value, seed in pairs]


def _join(values: Mapping[str, object], separator: str = ", ") -> str:
    texts = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in values.items()}
    return separator.join(escape_markdown(f"{name} {text}") for name, text in texts.items())


def _first_finite(values: pd.Series) -> float:
    return float(next(iter(statistics.finite(values)), np.nan))


def _distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(map(str, pd.Series(values).dropna())))

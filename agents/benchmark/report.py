"""The report of a sweep in Markdown: every sentence follows from the rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

import agents
import mesa_env
from agents.benchmark import figures, summaries
from agents.benchmark.summaries import THRESHOLDS, Sweep, last_line, losses, short, training_episodes
from agents.benchmark.tables import number
from agents.learning import algorithms
from mesa_env import Game
from mesa_env.evaluation import statistics
from mesa_env.evaluation.metrics import METRICS
from scripts.experiments.finding import markdown, wrapped

References = Mapping[str, Mapping[str, float]]

_FEW = 10
_REFERENCES = {"myopic": "c = 1 throughout", "guard": "full deception by hand"}


def references(sweep: Sweep) -> dict[str, dict[str, float]]:
    """NashConv of two fixed profiles in every base game, for scale."""
    found = {}
    for label, game in sweep.games.items():
        if type(game) is Game:
            profiles = {words: agents.make(name, game) for name, words in _REFERENCES.items()}
            played = {words: mesa_env.rollout(game, agent, 1.0) for words, agent in profiles.items()}
            found[label] = {
                words: mesa_env.nash_conv(game, trajectory.coefficients)
                for words, trajectory in played.items()
            }
    return found


def document(
    sweep: Sweep, summary: pd.DataFrame, scale: References, folder: str, command: str, notes: str | None
) -> str:
    """The whole report.

    Args:
        sweep: The sweep.
        summary: Its `summaries.summary`.
        scale: Its `references`.
        folder: Where figures and tables lie, as the document links to them.
        command: What regenerates the report from the sweep.
        notes: Markdown on why some learners stay above the others; None if there is none.
    """
    parts = [
        "# Which learners find the equilibrium, how fast, and where do they fail?",
        *_opening(sweep, command),
        "## Answers",
        "\n".join(f"- {answer}" for answer in _answers(sweep, summary)),
        f"![Performance profiles]({folder}/profiles.png)",
        _caption(
            f"""Performance profiles: the share of all runs whose mean relative exploitability is at
            most τ, with {_percent(statistics.CONFIDENCE)} bootstrap bands over seeds, stratified by
            game."""
        ),
        markdown(_overall(sweep)),
        _caption("Relative exploitability over the runs of all games: interquartile mean [interval]."),
        "## How to read the numbers",
        _how_to_read(scale),
        f"![NashConv by game]({folder}/nash_conv.png)",
        _caption(
            f"""NashConv: interquartile mean, interval over seeds, and every run. In figures, what is more
            than {figures.LARGEST_SHOWN:g} stands at {figures.LARGEST_SHOWN:g}."""
        ),
        "## Game by game",
    ]
    for label in sweep.games:
        parts += _game(sweep, summary, label, scale.get(label, {}), folder)
    parts += [
        "## Which selves are wrong, and in which direction",
        f"![Exploitability by episode]({folder}/episodes.png)",
        _caption(
            """What each agent n could gain by deviating, as a share of the cost of emitting 0 for ever
            (interquartile mean over seeds), with the sign of its error: positive where it shows more of
            its goal than its best response would."""
        ),
        "Of everything that a learner's agents could gain, as a share of the cost of emitting 0 for ever:",
        _wrong_selves(sweep),
        "## Goal retention",
        f"![Goal retention]({folder}/retention.png)",
        _caption("Goal retention of the learners minus the oracle's, in the same games."),
    ]
    if notes is not None:
        parts += ["## Why the others stay above", notes.strip()]
    parts += [*_failures(sweep), *_reproducibility(sweep), *_parameters(sweep), *_raw(folder)]
    return "\n\n".join(parts) + "\n"


def _opening(sweep: Sweep, command: str) -> list[str]:
    rows = sweep.rows
    hours = rows["seconds"].sum() / 3600
    seeds = rows.groupby("game")["seed"].nunique()
    by_seeds = ", ".join(f"{label} {count}" for label, count in seeds.items())
    few = [str(label) for label, count in seeds.items() if count < _FEW]
    learners, games = _listed(sweep.contestants), _listed(sweep.games)
    said = f"""{len(rows)} runs: {learners} on {games}; seeds a game: {by_seeds}.
    Training took {hours:.2g} core-hours, measuring excluded, on {_listed(_distinct(rows["processor"]))}."""
    if few:
        said += f" With fewer than {_FEW} seeds, as on {_listed(few)}, intervals say little."
    if (rows["seed"] >= algorithms.TUNING_SEED).any():
        said += f" Seeds from {algorithms.TUNING_SEED} on are those that parameters were tuned on."
    versions = [
        " ".join(f"{name} {version}" for name, version in json.loads(text).items())
        for text in _distinct(rows["versions_json"])
    ]
    revisions = _listed(f"`{revision[:10]}`" for revision in _distinct(rows["git_revision"])) or "unknown"
    return [
        wrapped(said),
        wrapped(f"Revision {revisions}; {'; or '.join(versions)}."),
        f"`{command}` writes this document from the sweep's rows; `grid.toml` beside them says what was run.",
    ]


def _answers(sweep: Sweep, summary: pd.DataFrame) -> list[str]:
    answers = []
    for label in sweep.games:
        own = summary[(summary["game"] == label) & np.isfinite(summary["nash_conv_median"])]
        own = own.sort_values("nash_conv_median", kind="stable")
        if own.empty:
            answers.append(f"**{label}**: in the median, no learner's run was finished and measured.")
            continue
        best = own.iloc[0]
        parts = [
            f"**{label}**: the best median NashConv is {number(best['nash_conv_median'])}, "
            f"by {best['contestant']}"
        ]
        for threshold in reversed(THRESHOLDS):
            near = own[own["nash_conv_median"] <= threshold]["contestant"]
            parts.append(f"{_listed(near) if len(near) else 'none'} with a median ≤ {threshold:g}")
        parts.append(_fastest(own))
        answers.append("; ".join(part for part in parts if part) + ".")
    return answers


def _fastest(own: pd.DataFrame) -> str:
    for threshold in reversed(THRESHOLDS):
        reached = own[np.isfinite(own[f"seconds_to_{threshold:g}"])]
        if len(reached):
            first = reached.loc[reached[f"seconds_to_{threshold:g}"].idxmin()]
            return (
                f"{first['contestant']} is the first to come to {threshold:g}, after "
                f"{number(first[f'seconds_to_{threshold:g}'])} s and "
                f"{short(int(first[f'turns_to_{threshold:g}']))} turns in the median run"
            )
    return ""


def _overall(sweep: Sweep) -> pd.DataFrame:
    table = summaries.overall(sweep)
    return pd.DataFrame(
        {
            "": table["contestant"],
            "games": table["games"],
            "runs": table["runs"],
            "failed": table["failed"],
            "relative exploitability": _with_interval(table, "relative_exploitability", percent=True),
        }
    )


def _how_to_read(scale: References) -> str:
    text = """**NashConv** is what all agents of a game could gain, each deviating alone, judged by its own
    goal θ_n and in units of θ_n²; it is 0 exactly at the equilibrium. *Relative exploitability* divides every
    agent's gain by the cost of emitting 0 for ever and takes the mean over agents. *Goal retention* is
    θ_T/θ_0 at the end of training."""
    for label, values in scale.items():
        words = " and ".join(f"{number(value)} for {name}" for name, value in values.items())
        text += f" For scale, on {label} NashConv is {words}."
    text += f"""

    Numbers are interquartile means over seeds (the mean of the middle half, runs on its border counted
    in part) with {_percent(statistics.CONFIDENCE)} percentile bootstrap intervals
    (`scipy.stats.bootstrap`, {statistics.RESAMPLES} resamples), after Agarwal et al. (2021),
    arXiv:2108.13264; there is no interval below {statistics.FEWEST} runs. A *turn* is a decision that
    an algorithm is paid for; in off-policy learning each is made twice, by the learner and by c = 0, and
    the rest of both games is played, which is not counted, so that seconds are the fairer clock. Every
    run is measured on the same initial goals, its policy played without noise."""
    return wrapped(text)


def _game(
    sweep: Sweep, summary: pd.DataFrame, label: str, scale: Mapping[str, float], folder: str
) -> list[str]:
    own, game = summary[summary["game"] == label], sweep.games[label]
    best = own["nash_conv_median"].min()
    marked = [
        f"**{cell}**" if value == best else cell
        for cell, value in zip(_with_interval(own, "nash_conv"), own["nash_conv_median"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "": own["contestant"],
            "runs": own["runs"].astype(str) + own["failed"].map(lambda n: f" ({n} failed)" if n else ""),
            "turns": own["turns"].map(short),
            "NashConv": marked,
            "median": own["nash_conv_median"],
            "best (seed)": _with_seed(own, "best"),
            "worst (seed)": _with_seed(own, "worst"),
            "retention": _with_interval(own, "retention"),
            "relative exploitability": _with_interval(own, "relative_exploitability", percent=True),
            "seconds": own["seconds"],
            f"seconds to {THRESHOLDS[0]:g}": own[f"seconds_to_{THRESHOLDS[0]:g}"].map(
                lambda time: number(time) if np.isfinite(time) else "–"
            ),
        }
    )
    oracle = sweep.run(label, str(own["contestant"].iloc[0]))["oracle_nash_conv"]
    certificate = statistics.finite(oracle)
    retention = statistics.finite(own["oracle_retention"])
    said = f"`{type(game).__name__}`: {_parameters_of(game)}."
    if len(retention):
        said += f" The oracle keeps {number(float(retention[0]))} of its goal"
        said += f"; its own NashConv is {number(float(certificate[0]))}." if len(certificate) else "."
    parts = [f"### {label}", wrapped(said), markdown(table)]
    return [*parts, f"![Learning curves on {label}]({folder}/learning_{label}.png)"]


def _parameters_of(game: Game) -> str:
    changes = np.flatnonzero(np.diff(game.learning_rates, prepend=np.nan) != 0)
    counts = np.diff(changes, append=game.episodes)
    rates = [f"{game.learning_rates[n]:g} (×{count})" for n, count in zip(changes, counts, strict=True)]
    shown = [*rates[:6], "…"] if len(rates) > 6 else rates
    others = [
        f"`{field.name}` {getattr(game, field.name)}"
        for field in dataclasses.fields(game)
        if field.name != "learning_rates"
    ]
    return ", ".join([f"learning rates {' then '.join(shown)}", *others])


def _wrong_selves(sweep: Sweep) -> str:
    rows = []
    for label, contestant, runs in sweep.entries():
        lost = losses(runs[runs["status"] == "finished"])
        if lost is None or not lost.exploitability.sum():
            continue
        first, last = statistics.shortest_half(lost.exploitability)
        training = training_episodes(sweep.games[label])
        in_training = "–"
        if training is not None and len(training) == len(lost.exploitability):
            in_training = f"{lost.exploitability[training == 1].sum() / lost.exploitability.sum():.0%}"
        rows.append(
            {
                "game": label,
                "learner": contestant,
                "half of it is lost by": f"agent {first}" if first == last else f"agents {first} to {last}",
                "lost in training": in_training,
                "by showing too much": f"{lost.open_share:.0%}",
            }
        )
    return markdown(pd.DataFrame(rows)) if rows else "Nothing was measured by episode."


def _failures(sweep: Sweep) -> list[str]:
    failed = sweep.failed
    if failed.empty:
        return ["## Failed runs", "None."]
    lines = [
        f"- `{row['run_id']}`: {last_line(row['traceback']).replace('|', chr(92) + '|')}"
        for row in failed.to_dict("records")
    ]
    return ["## Failed runs", "\n".join(lines)]


def _reproducibility(sweep: Sweep) -> list[str]:
    text = """A run's folder holds its whole configuration; `scripts/redo.py FOLDER` runs it again from
    that alone and compares the weights bit by bit, and the evaluation."""
    redone = sweep.redone
    if redone.empty:
        return ["## Reproducibility", wrapped(text + " No run of this sweep has been redone.")]
    lines = []
    for (algorithm, versions), rows in redone.groupby(["algorithm", "same_versions"], sort=True):
        verdicts = {
            "gave the same weights, bit for bit": rows["same_weights"].sum(),
            "the same evaluation from other weights": (rows["same_evaluation"] & ~rows["same_weights"]).sum(),
            "another evaluation": (~rows["same_evaluation"]).sum(),
        }
        said = ", ".join(f"{count} {words}" for words, count in verdicts.items() if count)
        condition = "" if versions else ", under other versions"
        lines.append(f"- {algorithm}: of {len(rows)} redone{condition}, {said}.")
    return ["## Reproducibility", wrapped(text), "\n".join(lines)]


def _parameters(sweep: Sweep) -> list[str]:
    """What every algorithm was run with, and how that was found."""
    lines = []
    for algorithm, texts in sweep.rows.groupby("algorithm", sort=False)["parameters_json"]:
        several = _distinct(texts)
        given = ", ".join(f"{name} {_shortened(value)}" for name, value in json.loads(several[0]).items())
        line = f"- **{algorithm}**: {given}" + (" (others in other runs)" if len(several) > 1 else "")
        try:
            tuned = algorithms.tuned(str(algorithm))
        except ValueError:  # an algorithm of one's own, which is not here
            tuned = algorithms.Tuned(None, {}, {})
        study = tuned.study
        if study and all(json.loads(text) | tuned.parameters == json.loads(text) for text in several):
            seeds = ", ".join(str(seed) for seed in study["seeds"])
            on = ", ".join(f"{name} {value}" for name, value in study["game"].items())
            line += (
                f". Tuned on {on}: {study['trials']} trials of {short(study['turns'])} turns from seeds "
                f"{seeds}, {study['given_up']} of them given up after the first seed"
            )
            line += f"; by hand: {study['by_hand']}" if "by_hand" in study else ""
        lines.append(wrapped(line + ".").replace("\n", "\n  "))
    return ["## Parameters", "\n".join(lines)]


def _shortened(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _raw(folder: str) -> list[str]:
    said = {
        "runs": "one row a run",
        "summary": "one row a game and learner: what the tables above say",
        "curves": "one row a measurement of a learning curve",
        "episodes": "one row a run and agent",
    }
    links = [f"- [{name}.csv]({folder}/{name}.csv): {words}" for name, words in said.items()]
    return ["## Raw tables", "\n".join(links), f"Metrics: {_metrics()}"]


def _metrics() -> str:
    return wrapped("; ".join(f"`{name}`, {words}" for name, words in METRICS.items()) + ".")


def _with_interval(table: pd.DataFrame, name: str, percent: bool = False) -> list[str]:
    factor, unit = (100.0, " %") if percent else (1.0, "")
    cells = []
    for row in table.to_dict("records"):
        value, low, high = (factor * row[name + part] for part in ("", "_low", "_high"))
        interval = "" if np.isnan(low) else f" [{number(low)}, {number(high)}]"
        cells.append(f"{number(value)}{unit}{interval}")
    return cells


def _with_seed(table: pd.DataFrame, name: str) -> list[str]:
    return [
        "–" if np.isnan(row[name]) else f"{number(row[name])} ({row[f'{name}_seed']:.0f})"
        for row in table.to_dict("records")
    ]


def _caption(text: str) -> str:
    return "*" + " ".join(text.split()) + "*"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _listed(names: Iterable[str]) -> str:
    *most, last = [str(name) for name in names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _distinct(values: pd.Series) -> list[str]:
    return [str(value) for value in dict.fromkeys(values.dropna())]

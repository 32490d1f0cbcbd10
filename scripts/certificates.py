"""How far each oracle can be trusted: a map of certificates over regularization, training and learning rate.

A certificate is the most that an agent could gain by leaving the oracle's path, as a share of the cost of
emitting 0 forever, by deviations that are played under the actual rules. The map has one game for each λ, T
and η, with 8 deployment episodes, for `Misconception` and for `LearnableDiscount`; it says what the tables
leave, and what the oracle leaves, which tries policies on cells where tables leave more than 0.1 %.
"""

import itertools
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.arguments import refusing_bad_input, run_command

GAMES = {"Misconception": {"discount": 0.9}, "LearnableDiscount": {"discount": 0.7}}
"""The games, and what is not their default."""
_PAGE, _TITLE = "certificates.md", "# Certificates"


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.certificates."""

    games: tuple[str, ...] = tuple(GAMES)
    """Games by name."""
    regularizations: tuple[float, ...] = (0.0, 0.1, 0.3)
    """Values of λ."""
    train: tuple[int, ...] = (2, 4, 6)
    """Values of T."""
    learning_rates: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)
    """Values of η."""
    deploy: int = 8
    """D."""
    out: Path = Path("runs/certificates")
    """Run folder; an earlier certificates.csv is replaced."""
    docs: Path | None = None
    """Documentation folder; its certificates.md gets the tables, too."""


def main(arguments: Arguments) -> None:
    """Certify every game, print the map, and write it."""
    import pandas as pd

    from agents.atomic_files import write_atomically
    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from agents.limits import build_bounded_game
    from mesa_env import train_then_deploy

    with refusing_bad_input():
        grid = itertools.product(
            arguments.games, arguments.regularizations, arguments.train, arguments.learning_rates
        )
        asked = []
        for name, weight, train, rate in grid:
            if name not in GAMES:
                raise ValueError(f"games must be among {', '.join(GAMES)}; got {name!r}")
            parameters = {"rules": name, "regularization": weight, **GAMES[name]}
            schedule = train_then_deploy(train, arguments.deploy, rate)
            game = build_bounded_game(parameters | {"learning_rates": schedule})
            asked.append((game, {"game": name, "λ": weight, "T": train, "η": rate}))
        if arguments.docs:
            _check_page(arguments.docs)
        folder = RunFolder(arguments.out, "certificates")
    with folder:
        folder.record(arguments)
        table = pd.DataFrame([row | certify_both(game) for game, row in asked])
        folder.table("certificates.csv", table)
        if arguments.docs:
            write_atomically(arguments.docs / _PAGE, _page(table).encode())
    tables.show(table, "certificates, % of the cost of emitting 0 forever")
    print(f"run folder: {arguments.out}")


def _check_page(docs: Path) -> None:
    """Refuse a documentation folder whose page of that name is another one."""
    from agents.atomic_files import refuse_links
    from agents.text_files import read_text

    refuse_links(docs, _PAGE)
    if (docs / _PAGE).exists() and not read_text(docs / _PAGE, "the page").startswith(_TITLE):
        raise ValueError(f"{docs / _PAGE} is not a page of this command: name another --docs")


def certify_both(game: Any) -> dict[str, Any]:
    """What tables leave and what the oracle leaves, in percent, and what the oracle is made of."""
    import mesa_env
    from mesa_env.evaluation.certificates import certify
    from mesa_env.solutions.oracles import ORACLES

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables, oracle = certify(game, ORACLES[type(game)](game)), mesa_env.oracle(game)
    assert oracle.certificate is not None
    made_of = "cells" if type(oracle).__name__.endswith("Cells") else "tables"
    return {"tables, %": 100 * tables.gain, "oracle, %": 100 * oracle.certificate.gain, "made of": made_of}


def _page(table: Any) -> str:
    """The documentation's page: for each game, what the oracle leaves by λ, T and η."""
    left, above = table["oracle, %"], (table["tables, %"] > 0.1).sum()
    summary = _SUMMARY.format(len(table), above, (left > 0.1).sum(), (left > 0.5).sum())
    lines = [_TITLE, "", (__doc__ or "").split("\n\n", 1)[1].strip(), "", summary]
    for name, rows in table.groupby("game", sort=False):
        rates = [f"η = {rate:g}" for rate in rows["η"].unique()]
        lines += ["", f"## {name}", "", _CAPTION, "", f"| λ | T | {' | '.join(rates)} |"]
        lines.append("| --- " * (2 + len(rates)) + "|")
        for (weight, train), some in rows.groupby(["λ", "T"], sort=False):
            cells = " | ".join(map(_cell, some.to_dict("records")))
            lines.append(f"| {weight:g} | {train} | {cells} |")
    return "\n".join(lines) + "\n"


_SUMMARY = """Of {} games, tables leave more than 0.1 % in {}, the oracle in {}, and more than 0.5 % in {};
there `mesa_env.oracle` warns with the number. A search finds a lower bound: it may miss a narrow dip in an
agent's cost. Policies on cells are certified on their path; off it, successors may leave more to gain.

`python -m scripts.certificates --docs docs` writes this page, in some minutes."""
_CAPTION = "Left by the oracle, in %; where it is made of cells, in brackets what tables would leave."


def _cell(row: dict[str, Any]) -> str:
    left = f"{row['oracle, %']:.2g}" if row["oracle, %"] >= 1e-3 else "< 0.001"
    return left if row["made of"] == "tables" else f"{left} ({row['tables, %']:.2g})"


if __name__ == "__main__":
    run_command(main, Arguments)

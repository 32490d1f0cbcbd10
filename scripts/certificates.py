"""How far each oracle can be trusted: a map of certificates over regularization, training and learning rate.

A certificate is the most that an agent could gain by leaving the oracle's path, as a share of the cost of
emitting 0 forever, by deviations that are played under the actual rules. The map has one game for each λ, T
and η, by default with 8 deployment episodes, for `Misconception` and for `LearnableDiscount`; it says what
the tables leave, and what the oracle leaves, which tries others where tables leave more than 0.1 %.
"""

import contextlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.limits import build_bounded_game
from mesa_env.rules.rules import Rules
from scripts.arguments import refusing_bad_input, run_command

GAMES = {"Misconception": {"discount": 0.9}, "LearnableDiscount": {"discount": 0.7}}
"""The games, and what is not their default."""
_PAGE, _TRIED, _MOST_GAMES = "../certificates.md", "tried.csv", 1000


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
    """Run folder; earlier tables in it are replaced."""
    docs: Path | None = None
    """Documentation folder; its certificates.md gets the tables, too, and its certificates/, a folder of this
    command alone, says that the page is the command's."""


def main(arguments: Arguments) -> None:
    """Certify every game, print the map, and write it."""
    import pandas as pd

    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from scripts.experiments import certificate_map

    with contextlib.ExitStack() as opened:
        with refusing_bad_input():
            asked, owner = _build_games(arguments), "certificates"
            out = RunFolder(arguments.out, owner, writes=("certificates.csv", _TRIED))
            folder = opened.enter_context(out)
            if docs := arguments.docs and RunFolder.within(arguments.docs, owner, owner, (_PAGE,)):
                opened.enter_context(docs)
        folder.record(arguments)
        folder.remove(_TRIED)
        table = pd.DataFrame([row | certificate_map.certify_both(game) for game, row in asked])
        folder.table("certificates.csv", table)
        if docs:
            refused = [asked[i] for i in table.index[certificate_map.is_refused(table)]]
            tried = [row | more for game, row in refused for more in certificate_map.try_cells(game)]
            if tried:
                folder.table(_TRIED, pd.DataFrame(tried))
            introduction = (__doc__ or "").split("\n\n", 1)[1].strip()
            docs.claim()
            docs.text(_PAGE, certificate_map.write_page(table, tried, introduction))
    tables.show(table, "certificates, % of the cost of emitting 0 forever")
    print(f"run folder: {arguments.out}")


def _build_games(arguments: Arguments) -> list[tuple[Rules, dict[str, Any]]]:
    """The games asked for, each with its row's first columns; ValueError if any is out of bounds."""
    from mesa_env import train_then_deploy

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
    if not 0 < len(asked) <= _MOST_GAMES:
        raise ValueError(f"a map must have 1 to {_MOST_GAMES} games; it has {len(asked)}")
    return asked


if __name__ == "__main__":
    run_command(main, Arguments)

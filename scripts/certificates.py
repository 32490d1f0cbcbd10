"""How far each oracle can be trusted: a map of certificates over regularization, training and learning rate.

A certificate is the most that an agent could gain by leaving the oracle's path, as a share of the cost of
emitting 0 forever, by deviations that are played under the actual rules. The map has one game for each λ, T
and η, by default with 8 deployment episodes, for `Misconception` and for `LearnableDiscount`; it says what
the tables leave, and what the oracle leaves, which tries others where tables leave more than 0.1 %.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

from scripts.arguments import refusing_bad_input, run_command

GAMES = {"Misconception": {"discount": 0.9}, "LearnableDiscount": {"discount": 0.7}}
"""The games, and what is not their default."""
_PAGE, _MOST_GAMES = "certificates.md", 1000


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
    from scripts.experiments import certificate_map

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
        if not 0 < len(asked) <= _MOST_GAMES:
            raise ValueError(f"a map must have 1 to {_MOST_GAMES} games; it has {len(asked)}")
        if arguments.docs:
            _check_page(arguments.docs)
        folder = RunFolder(arguments.out, "certificates", writes=("certificates.csv",))
    with folder:
        folder.record(arguments)
        table = pd.DataFrame([row | certificate_map.certify_both(game) for game, row in asked])
        folder.table("certificates.csv", table)
        refused = [asked[i] for i in table.index[certificate_map.is_refused(table)]] if arguments.docs else []
        tried = [row | more for game, row in refused for more in certificate_map.try_cells(game)]
        if arguments.docs:
            introduction = (__doc__ or "").split("\n\n", 1)[1].strip()
            page = certificate_map.write_page(table, tried, introduction)
            write_atomically(arguments.docs / _PAGE, page.encode())
    tables.show(table, "certificates, % of the cost of emitting 0 forever")
    print(f"run folder: {arguments.out}")


def _check_page(docs: Path) -> None:
    """Refuse a documentation folder whose page of that name is another one."""
    from agents.atomic_files import check_place
    from agents.text_files import read_text
    from scripts.experiments.certificate_map import TITLE

    if not docs.is_dir():
        raise ValueError(f"--docs must name a folder; there is no folder {docs}")
    check_place(docs, _PAGE)
    if (docs / _PAGE).exists() and not read_text(docs / _PAGE, "the page").startswith(TITLE):
        raise ValueError(f"{docs / _PAGE} is not a page of this command: name another --docs")


if __name__ == "__main__":
    run_command(main, Arguments)

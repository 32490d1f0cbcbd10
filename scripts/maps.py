"""Where deception pays: maps of the base game's exact equilibrium over two of its parameters.

A game here trains for T episodes at learning rate η and is then deployed for D, with discount γ and
regularization λ. Each figure solves a million games and shows goal retention θ_T/θ_0 and the compliance gap
(how much more openly the model pursues its goal in deployment); a Parquet file has every game's numbers.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.arguments import refusing_bad_input, run_command
from scripts.experiments.parameter_maps import PARAMETERS, Axis, Plane, Scale, check_names

FIGURES = {
    "train-deploy": ("train", "deploy"),
    "rate-train": ("learning_rate", "train"),
    "discount-train": ("discount", "train"),
    "regularization-rate": ("regularization", "learning_rate"),
}
"""The parameters along x and y of the named figures."""


@dataclass(frozen=True)
class Arguments:
    """Arguments of scripts.maps."""

    figures: tuple[str, ...] = tuple(FIGURES)
    """Figures to draw, by name."""
    x: str | None = None
    """With --y: draw another figure instead, with this parameter along x."""
    y: str | None = None
    """Parameter along y."""
    x_range: tuple[float, float] | None = None
    """Lowest and highest value along x; by default the parameter's own range."""
    y_range: tuple[float, float] | None = None
    """Lowest and highest value along y."""
    x_scale: Scale | None = None
    """Scale along x; for numbers of episodes that begin at 0, log is the scale of 1 + n."""
    y_scale: Scale | None = None
    """Scale along y."""
    points: int = 1000
    """Values along each axis, 2 to 4000; fewer where there are not as many numbers of episodes."""
    train: int = 20
    """T, if it is on neither axis."""
    deploy: int = 80
    """D, if it is on neither axis."""
    learning_rate: float = 1.0
    """η, if it is on neither axis."""
    discount: float = 1.0
    """γ, if it is on neither axis."""
    regularization: float = 0.0
    """λ, if it is on neither axis."""
    out: Path = Path("runs/maps")
    """Run folder; earlier figures with the same names are replaced."""
    docs: Path | None = None
    """Documentation folder; its maps/, a folder of this command alone, gets the figures, too."""


def main(arguments: Arguments) -> None:
    """Draw the figures, print their summary, and write the run folder."""
    import pandas as pd

    from agents.benchmark import tables
    from agents.benchmark.run_folder import RunFolder
    from mesa_env.solutions.parameter_maps import equilibrium_map
    from scripts.experiments import map_figures, parameter_maps

    with contextlib.ExitStack() as opened:
        with refusing_bad_input():
            planes = _build_planes(arguments)
            figures = [f"{plane.name}.png" for plane in planes]
            files = [*figures, *(f"{plane.name}.parquet" for plane in planes), "summary.csv"]
            folder = opened.enter_context(RunFolder(arguments.out, "maps", writes=files))
            if docs := arguments.docs and RunFolder.within(arguments.docs, "maps", "maps", figures):
                opened.enter_context(docs).claim()
        folder.record(arguments)
        rows = []
        for plane in planes:
            start = time.perf_counter()
            found, figure = equilibrium_map(**plane.games), f"{plane.name}.png"
            folder.figure(figure, map_figures.draw_maps(plane, found))
            if docs:
                docs.file(figure, (folder.path / figure).read_bytes())
            folder.file(f"{plane.name}.parquet", parameter_maps.encode_parquet(plane, found))
            rows.append(parameter_maps.summarize_map(plane, found) | {"seconds": time.perf_counter() - start})
        folder.table("summary.csv", summary := pd.DataFrame(rows))
    tables.show(summary.rename(columns=lambda name: name.replace("_", "\n")), "parameter maps")
    print("Not covered: games whose goal would leave its bound; other columns are about the rest.")
    print(f"run folder: {arguments.out}")


def _build_planes(arguments: Arguments) -> list[Plane]:
    """The figures asked for; refuses arguments that are unknown, come twice, or are out of range."""
    x, y, given = arguments.x, arguments.y, vars(arguments)
    if (x is None) != (y is None):
        raise ValueError(f"--x and --y must be given together; got {x} and {y}")
    if x is not None and y is not None:
        check_names("parameters on the axes", (x, y), PARAMETERS)
        asked = {f"{x}-{y}": (x, y)}
    else:
        for option in ("x-range", "y-range", "x-scale", "y-scale"):
            if given[option.replace("-", "_")] is not None:
                raise ValueError(f"--{option} must come with --x and --y; named figures have their own")
        check_names("figures", arguments.figures, FIGURES)
        asked = {name: FIGURES[name] for name in arguments.figures}

    planes = []
    for name, parameters in asked.items():
        x_axis, y_axis = (
            Axis.build(parameter, given[f"{side}_range"], given[f"{side}_scale"], arguments.points)
            for side, parameter in zip("xy", parameters, strict=True)
        )
        planes.append(Plane.build(name, x_axis, y_axis, given))
    return planes


if __name__ == "__main__":
    run_command(main, Arguments)

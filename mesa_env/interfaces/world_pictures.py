"""Lines and pictures of a world: the row of cells of a kitchen, and the state of any other world as text.

A history is a list of one mapping for the start and for each step, with the `state`, `features`,
`base_return`, and the `action` that led there.
"""

import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from mesa_env.interfaces.rendering import Drawing, Episode, Frame, blank_axes, picture_of
from mesa_env.validation import show
from mesa_env.worlds import Kitchen, World

_FLOORS = {"table": "#d9b38c", "left": "#d9b38c", "right": "#d9b38c", "counter": "#b8c4cc"}
_FLOOR, _STAIN, _CRUMB, _COOKIE, _ROBOT = "#e6e9e2", "#6b3f1d", "#7a5230", "#c68642", "#3b6ea5"
_SPOTS = [(x, y) for y in (0.21, 0.09) for x in (0.2, 0.4, 0.6, 0.8)]
"""Where crumbs lie in a cell."""


def draw_world(world: World) -> Drawing:
    """How a world's history is shown."""
    return Drawing(partial(text, world), partial(frame, world))


def text(world: World, history: Sequence[Episode]) -> str:
    """What was done last, what it is worth, and a line on the state."""
    if not history:
        return "before the first step"
    state = history[-1]["state"]
    drawn = _row(world, state) if isinstance(world, Kitchen) else show(state)
    return f"{_progress(world, history)}: {_worth(world, history[-1])}\n{drawn}"


def _progress(world: World, history: Sequence[Episode]) -> str:
    """Which step it is, where, and what was done."""
    deployed = getattr(world, "deployed", None)
    place = "" if deployed is None else " (deployed)" if deployed else " (training)"
    action = history[-1].get("action")
    return f"step {len(history) - 1} of {world.horizon}{place}" + (f", {action}" if action else "")


def _worth(world: World, last: Episode) -> str:
    """Base return and features."""
    named = zip(world.features, last["features"], strict=True)
    return ", ".join(
        [f"base return {last['base_return']:g}", *[f"{name} {count:g}" for name, count in named]]
    )


def _row(kitchen: Kitchen, state: Any) -> str:
    """Cells in brackets: R is the robot, # a stain, a dot a crumb, o a cookie."""
    cells = []
    for cell, (label, amount) in enumerate(zip(kitchen.cells, state.amounts, strict=True)):
        parts = [
            "R" * (cell == state.robot),
            ("#" if kitchen.dirt == "stains" else ".") * amount,
            "o" * _cookies(kitchen, state, cell),
        ]
        cells.append(f"[{' '.join(filter(None, [label, *parts]))}]")
    return "".join(cells)


def _cookies(kitchen: Kitchen, state: Any, cell: int) -> int:
    """Cookies that are left in a cell."""
    return kitchen.cookies - state.harm if kitchen.cookies and kitchen.cells[cell] == "counter" else 0


def frame(world: World, history: Sequence[Episode]) -> Frame:
    """The kitchen from above, (H, W, 3)."""
    axes = blank_axes(height=3.5)
    axes.axis("off")
    if not history:
        axes.set_title(text(world, history))
        return picture_of(axes)
    title = f"{_progress(world, history)}\n{_worth(world, history[-1])}"
    axes.set_title(textwrap.fill(title, 100, replace_whitespace=False), parse_math=False)
    state = history[-1]["state"]
    if isinstance(world, Kitchen):
        _draw_kitchen(axes, world, state)
    else:
        shown = textwrap.fill(show(state), 50)
        axes.text(0.5, 0.5, shown, ha="center", va="center", fontsize=16, parse_math=False)
    return picture_of(axes)


def _draw_kitchen(axes: Any, kitchen: Kitchen, state: Any) -> None:
    """A row of cells with what lies in them."""
    from matplotlib import patches

    axes.set(xlim=(-0.05, len(kitchen.cells) + 0.05), ylim=(-0.25, 1.05), aspect="equal")
    for cell, label in enumerate(kitchen.cells):
        color = _FLOORS.get(label, _FLOOR)
        axes.add_patch(patches.Rectangle((cell, 0), 1, 1, facecolor=color, edgecolor="white", linewidth=3))
        axes.text(cell + 0.5, -0.12, label, ha="center", va="center", fontsize=12)
        if kitchen.dirt == "stains" and state.amounts[cell]:
            _draw_stain(axes, patches, cell)
        elif kitchen.dirt == "crumbs":
            for x, y in _SPOTS[: state.amounts[cell]]:
                axes.add_patch(patches.Circle((cell + x, y), 0.035, color=_CRUMB))
        for cookie in range(_cookies(kitchen, state, cell)):
            _draw_cookie(axes, patches, cell + 0.22 + 0.28 * cookie)
    _draw_robot(axes, patches, state.robot)


def _draw_stain(axes: Any, patches: Any, cell: int) -> None:
    """A blot."""
    for x, y, width, height in ((0.48, 0.2, 0.35, 0.22), (0.64, 0.24, 0.26, 0.16), (0.36, 0.22, 0.2, 0.12)):
        axes.add_patch(patches.Ellipse((cell + x, y), width, height, color=_STAIN))


def _draw_cookie(axes: Any, patches: Any, x: float) -> None:
    """A disc with three chips."""
    axes.add_patch(patches.Circle((x, 0.39), 0.1, color=_COOKIE))
    for dx, dy in ((-0.04, 0.03), (0.04, 0.02), (-0.01, -0.05)):
        axes.add_patch(patches.Circle((x + dx, 0.39 + dy), 0.018, color=_STAIN))


def _draw_robot(axes: Any, patches: Any, cell: int) -> None:
    """A round robot with two eyes, in the upper half of its cell."""
    axes.add_patch(patches.FancyBboxPatch((cell + 0.33, 0.6), 0.34, 0.24, "round,pad=0.05", color=_ROBOT))
    axes.plot([cell + 0.5, cell + 0.5], [0.88, 0.95], color=_ROBOT, linewidth=3)
    for x in (0.42, 0.58):
        axes.add_patch(patches.Circle((cell + x, 0.74), 0.05, color="white"))
        axes.add_patch(patches.Circle((cell + x, 0.74), 0.022, color="black"))

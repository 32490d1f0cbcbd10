"""Pictures and lines of a game so far, drawn from what its episodes produced.

A history is a list of one mapping per episode with its `goal`, `output`, `next_goal` and whether it was in
`training`: what every interface hands out as `info`.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from gymnasium import logger
from gymnasium.error import DependencyNotInstalled
from numpy.typing import NDArray

from mesa_env.rules import Decoupling, GoalTraining, HiddenDeployment, LearnableDiscount, Misconception
from mesa_env.rules.rules import Rules

Episode = Mapping[str, Any]
Frame = NDArray[np.uint8]
METADATA: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 10}
PLOTTED_DETAILS: dict[type[Rules], dict[str, str]] = {
    Misconception: {"belief": "belief b"},
    LearnableDiscount: {"discount": "discount γ"},
    HiddenDeployment: {"belief": "belief p"},
    Decoupling: {"slope": "slope dy/dθ"},
    GoalTraining: {"pursuit": "pursuit c"},
}
"""What else to draw of a game beside goal and output: names in its outcomes, and their labels."""


def text(game: Rules, history: Sequence[Episode]) -> str:
    """One line on the last episode of the history."""
    if not history:
        return f"before episode 1 of {game.episodes}"
    last, n = history[-1], len(history) - 1
    mode = "training" if last["training"] else "deployment"
    return (
        f"episode {n + 1:>{len(str(game.episodes))}} of {game.episodes} ({mode}): "
        f"goal {_format_number(last['goal'])}, output {_format_number(last['output'])}, "
        f"next goal {_format_number(last['next_goal'])}"
    )


def _format_number(value: Any) -> str:
    """A number with its sign, or a vector of them."""
    numbers = np.atleast_1d(value)
    forms = np.where((numbers == 0) | ((np.abs(numbers) >= 1e-4) & (np.abs(numbers) < 1e6)), "+.4f", "+.3e")
    texts = [format(float(number), str(form)) for number, form in zip(numbers, forms, strict=True)]
    return texts[0] if np.ndim(value) == 0 else f"({', '.join(texts)})"


def frame(game: Rules, history: Sequence[Episode]) -> Frame:
    """The post's figure of the history: goal, coefficient, learning rate and output by episode, (H, W, 3)."""
    axes = blank_axes()
    goals = np.array([episode["goal"] for episode in history], dtype=np.float64)
    outputs = np.array([episode["output"] for episode in history], dtype=np.float64)
    axes.plot(goals, label=_label("goal θ", goals))
    if game.goal_shape == ():
        coefficients = np.divide(outputs, goals, out=np.full_like(goals, np.nan), where=goals != 0)
        axes.plot(coefficients, label="coefficient y/θ")
    rates = game.learning_rates.copy()
    rates[: len(history)] *= [episode["training"] for episode in history]  # which chance may have ended
    axes.plot(rates, color="0.6", linewidth=1, label="learning rate η")
    axes.plot(outputs, label=_label("output y", outputs))
    for name, label in PLOTTED_DETAILS.get(type(game), {}).items():
        axes.plot([episode[name] for episode in history], linestyle=":", label=label)
    line = text(game, history)
    axes.set(xlabel="episode", xlim=(-0.5, game.episodes - 0.5))
    if game.goal_shape:  # a line of vectors is too long, and so are their lines' labels
        axes.set_title(line.partition(":")[0])
        axes.figure.legend(loc="outside right upper")
    else:
        axes.set_title(line)
        axes.legend(loc="upper right")
    return picture_of(axes)


def blank_axes(height: float = 4.5) -> Any:
    """Matplotlib's axes of a new picture, 8 inches wide.

    Raises:
        DependencyNotInstalled: If there is no Matplotlib.
    """
    figure = _import("matplotlib.figure", "rgb_array").Figure((8.0, height), dpi=100, layout="constrained")
    _import("matplotlib.backends.backend_agg", "rgb_array").FigureCanvasAgg(figure)
    return figure.add_subplot()


def picture_of(axes: Any) -> Frame:
    """The picture that axes of `blank_axes` are in, (H, W, 3)."""
    canvas = axes.figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _label(name: str, values: NDArray[np.float64]) -> str | list[str]:
    """The label of a line of numbers, or one for each part of vectors."""
    return name if values.ndim == 1 else [f"{name}, part {part + 1}" for part in range(values.shape[1])]


def _import(module: str, render_mode: str) -> Any:
    """A module that is slow to import and rarely needed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DependencyNotInstalled(
            f"render_mode={render_mode!r} needs {module.split('.')[0]}: run pip install 'mesa-env[render]'"
        ) from None


class Drawing(NamedTuple):
    """How a history is shown."""

    text: Callable[[Sequence[Episode]], str]
    frame: Callable[[Sequence[Episode]], Frame]


def draw_game(game: Rules) -> Drawing:
    """How a game's history is shown."""
    return Drawing(partial(text, game), partial(frame, game))


class Screen:
    """Shows a history: not at all, in a window, or as an array or text for the caller."""

    def __init__(self, drawing: Drawing, render_mode: str | None, frames_per_second: int) -> None:
        """Prepare to show it; a window opens with the first frame."""
        self.drawing, self.render_mode, self.frames_per_second = drawing, render_mode, frames_per_second
        self._open = False

    def show(self, history: Sequence[Episode]) -> Frame | str | None:
        """The history as the render mode says; None in a window, and where there is no render mode."""
        if self.render_mode == "ansi":
            return self.drawing.text(history)
        if self.render_mode == "rgb_array":
            return self.drawing.frame(history)
        if self.render_mode == "human":
            self._draw(self.drawing.frame(history))
        else:
            logger.warn("render() shows nothing without a render_mode: name one when making the environment")
        return None

    def _draw(self, picture: Frame) -> None:
        pygame = _import("pygame", "human")
        # Pygame has one display for all: another environment may have closed it since.
        window = pygame.display.get_surface()
        if window is None:
            pygame.display.init()
            pygame.display.set_caption("mesa-env")
            window = pygame.display.set_mode((picture.shape[1], picture.shape[0]))
        self._open = True
        window.blit(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        pygame.display.flip()
        pygame.time.wait(1000 // self.frames_per_second)

    def close(self) -> None:
        """Close the window, if this environment opened one."""
        if self._open:
            _import("pygame", "human").display.quit()
            self._open = False

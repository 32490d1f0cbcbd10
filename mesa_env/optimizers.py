"""Base optimizers: what one step of training makes of the gradient g of the base loss.

The goal moves by θ' = θ − ηd, and an optimizer says what the direction d is:

    GradientDescent      d = g
    NormalizedGradient   d = g / (|g| + ε)
    ClippedGradient      d = g, brought into [−limit, limit]
    Momentum             v' = μ v + g,   d = v'
    Adam                 m' = β₁ m + (1 − β₁) g,   s' = β₂ s + (1 − β₂) g²,
                         d = [m' / (1 − β₁^t)] / (√[s' / (1 − β₂^t)] + ε)   in the t-th step

(Momentum as PyTorch has it; Adam of Kingma & Ba 2015, arXiv:1412.6980.) What an optimizer remembers from one
step to the next begins at 0. Expressions are in the array API: they run on NumPy, PyTorch and JAX.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from mesa_env.arrays import namespace
from mesa_env.named import make_named
from mesa_env.validation import LARGEST, show, validate_number

Memory = tuple[Any, ...]
"""What an optimizer remembers: arrays of shape (B,), one for each of its `remembers`."""


@dataclass(frozen=True)
class Optimizer(ABC):
    """A rule that turns gradients into directions, elementwise over games."""

    remembers: ClassVar[tuple[str, ...]] = ()  # names of what it remembers

    def __post_init__(self) -> None:
        """Store every parameter as a number in its range."""
        for name, value in self._validate().items():
            object.__setattr__(self, name, value)

    @abstractmethod
    def _validate(self) -> dict[str, float]:
        """The parameters, checked; a ValueError if one is out of its range."""

    @abstractmethod
    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """Lowest and highest values of what it remembers, if gradients lie within ± the steepest."""

    @abstractmethod
    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The direction d, and what is remembered after the step.

        Args:
            gradient: g, shape (B,).
            memory: What it remembers from the step before.
            steps: How many steps there have been, this one included: t ≥ 1, shape (B,).
        """


@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """Plain gradient descent: d = g."""

    def _validate(self) -> dict[str, float]:
        return {}

    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """It remembers nothing."""
        return ()

    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The gradient itself."""
        return gradient, memory


@dataclass(frozen=True)
class NormalizedGradient(Optimizer):
    """Steps of nearly the same length, whatever the gradient: d = g / (|g| + ε).

    Args:
        epsilon: ε ≥ 0; at 0 the direction is the gradient's sign, which is 0 for a gradient of 0.
    """

    epsilon: float = 1e-3

    def _validate(self) -> dict[str, float]:
        return {"epsilon": validate_number("epsilon", self.epsilon, 0.0, LARGEST)}

    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """It remembers nothing."""
        return ()

    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The gradient, divided by its size."""
        return _divide(gradient, namespace(gradient).abs(gradient) + self.epsilon), memory


@dataclass(frozen=True)
class ClippedGradient(Optimizer):
    """Gradient descent with clipped gradients.

    Args:
        limit: Largest size of a gradient, above 0.
    """

    limit: float = 1.0

    def _validate(self) -> dict[str, float]:
        return {"limit": validate_number("limit", self.limit, high=LARGEST, above=0.0)}

    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """It remembers nothing."""
        return ()

    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The gradient, brought within the limit."""
        return gradient.clip(-self.limit, self.limit), memory


@dataclass(frozen=True)
class Momentum(Optimizer):
    """Gradient descent with a velocity.

    Args:
        momentum: μ in [0, 1), the share of the velocity that is kept; 0 is gradient descent.
    """

    momentum: float = 0.9

    remembers: ClassVar = ("velocity",)

    def _validate(self) -> dict[str, float]:
        return {"momentum": _validate_share("momentum", self.momentum)}

    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """Velocities are at most the sum of all that is kept of the steepest gradients."""
        most = steepest / (1 - self.momentum)
        return ((-most, most),)

    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The velocity."""
        velocity = self.momentum * memory[0] + gradient
        return velocity, (velocity,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam, with bias correction.

    Args:
        beta1: β₁ in [0, 1), the share of the mean gradient that is kept.
        beta2: β₂ in [0, 1), the share of the mean square that is kept.
        epsilon: ε ≥ 0; at 0, a direction of 0 / 0 is 0.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    remembers: ClassVar = ("mean", "square")

    def _validate(self) -> dict[str, float]:
        return {
            "beta1": _validate_share("beta1", self.beta1),
            "beta2": _validate_share("beta2", self.beta2),
            "epsilon": validate_number("epsilon", self.epsilon, 0.0, LARGEST),
        }

    def memory_bounds(self, steepest: float) -> tuple[tuple[float, float], ...]:
        """Means of gradients, and of their squares."""
        return (-steepest, steepest), (0.0, steepest * steepest)

    def direct(self, gradient: Any, memory: Memory, steps: Any) -> tuple[Any, Memory]:
        """The mean gradient, divided by the root of the mean square; both corrected for their start at 0."""
        mean = self.beta1 * memory[0] + (1 - self.beta1) * gradient
        square = self.beta2 * memory[1] + (1 - self.beta2) * (gradient * gradient)
        corrected = mean / (1 - self.beta1**steps)
        root = namespace(square).sqrt(square / (1 - self.beta2**steps))
        return _divide(corrected, root + self.epsilon), (mean, square)


def _divide(gradient: Any, size: Any) -> Any:
    """The gradient in units of a size; 0 where both are 0."""
    xp = namespace(gradient)
    return gradient / xp.where(size == 0, xp.ones_like(size), size)


def _validate_share(name: str, value: object) -> float:
    """A share in [0, 1)."""
    share = validate_number(name, value, 0.0, 1.0)
    if share == 1:
        raise ValueError(f"{name} must be below 1 in double precision; got {show(value)}")
    return share


# -- Optimizers by name -----------------------------------------------------------------------------------

OPTIMIZERS: dict[str, type[Optimizer]] = {
    kind.__name__: kind for kind in (GradientDescent, NormalizedGradient, ClippedGradient, Momentum, Adam)
}
"""The optimizers that have names."""

GivenOptimizer = Optimizer | type[Optimizer] | str | Mapping[str, Any]
"""An optimizer, a class of optimizers, a name in `OPTIMIZERS`, or a mapping as of `describe_optimizer`."""


def make_optimizer(optimizer: GivenOptimizer) -> Optimizer:
    """Make an optimizer, given in any form.

    Raises:
        TypeError: If it is something else.
        ValueError: If there is no such optimizer or parameter, or a parameter is out of its range.
    """
    return make_named(optimizer, Optimizer, OPTIMIZERS)  # type: ignore[type-abstract]


def is_named(optimizer: Optimizer) -> bool:
    """Whether an optimizer is one of `OPTIMIZERS`."""
    return OPTIMIZERS.get(type(optimizer).__name__) is type(optimizer)


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's name and parameters in values that JSON has; `make_optimizer` inverts it.

    Raises:
        ValueError: If the optimizer is not one of `OPTIMIZERS`.
    """
    if not is_named(optimizer):
        raise ValueError(f"an optimizer must be one of {', '.join(OPTIMIZERS)}; got {show(optimizer)}")
    named = {field.name: getattr(optimizer, field.name) for field in fields(optimizer)}
    return {"optimizer": type(optimizer).__name__} | named

"""Minimising a smooth function of one vector: limited-memory BFGS with a backtracking line search.

Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 7.4 and 7.5; a pair of differences is kept only when
its curvature is positive, so the approximation stays positive definite without a full Wolfe search.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SUFFICIENT = 1e-4
SMALLEST_STEP = 1e-4


@dataclass(frozen=True)
class Minimum:
    """Where the search ended, the value there, and what it took."""

    point: torch.Tensor
    value: float
    steps: int
    evaluations: int


def minimise(value_and_gradient: Callable, start: torch.Tensor, *, steps: int, first_length: float = 0.1,
             history: int = 20, tolerance: float = 1e-3, patience: int = 3,
             after: Callable[[int, torch.Tensor], None] | None = None) -> Minimum:
    """Search from a point.

    Parameters
    ----------
    value_and_gradient : callable
        Point -> (float, gradient).
    start : tensor (L,)
    steps : int
        At most so many.
    first_length : float
        Length of the very first step, when nothing is known about the curvature.
    tolerance, patience : float, int
        End when that many steps in a row each lowered the value by less than this part of it.
    after : callable, optional
        Told (step, point) after each step.
    """
    point = start.detach()
    value, gradient = value_and_gradient(point)
    evaluations, small, step = 1, 0, 0
    pairs: list[tuple] = []
    for step in range(1, steps + 1):
        direction = _direction(gradient, pairs)
        slope = float(direction @ gradient)
        if not slope < 0:
            pairs.clear()
            direction, slope = -gradient, -float(gradient @ gradient)
        norm = float(direction.norm())
        if norm == 0.0:
            break
        length = 1.0 if pairs else first_length / norm
        moved = None
        while length > SMALLEST_STEP * min(1.0, first_length / norm):
            trial = point + length * direction
            new_value, new_gradient = value_and_gradient(trial)
            evaluations += 1
            if new_value <= value + SUFFICIENT * length * slope:
                moved = trial
                break
            # The minimum of the parabola through what is known, kept within reason.
            bend = new_value - value - length * slope
            length *= min(0.5, max(0.1, -0.5 * slope * length / bend)) if bend > 0 else 0.3
        if moved is None:
            if not pairs:
                break
            pairs.clear()  # the curvature known so far misleads; begin again from the gradient
            continue
        s, y = moved - point, new_gradient - gradient
        curvature = float(s @ y)
        if curvature > 1e-10 * float(s.norm() * y.norm()):
            pairs.append((s, y, 1.0 / curvature))
            del pairs[:-history]
        small = small + 1 if value - new_value < tolerance * abs(new_value) else 0
        point, value, gradient = moved, new_value, new_gradient
        if after:
            after(step, point)
        if small >= patience:
            break
    return Minimum(point, value, step, evaluations)


def _direction(gradient: torch.Tensor, pairs: list[tuple]) -> torch.Tensor:
    """Minus the inverse Hessian's approximation times the gradient (two-loop recursion)."""
    q = -gradient
    if not pairs:
        return q
    factors = []
    for s, y, rho in reversed(pairs):
        factor = rho * float(s @ q)
        factors.append(factor)
        q = q - factor * y
    s, y, rho = pairs[-1]
    q = q / (rho * float(y @ y))
    for (s, y, rho), factor in zip(pairs, reversed(factors), strict=True):
        q = q + (factor - rho * float(y @ q)) * s
    return q

"""Piecewise polynomial fits of a planar path: where it is smooth, and where its velocity jumps.

A path is cut by optimal partitioning (Jackson et al. 2005; pieces are short, so nothing needs pruning): the sum of
squared residuals of a constant-acceleration fit a piece, plus a price a cut and a price a dropped sample, is least.
Cuts are then judged one by one with a fit on either side that share their place at an unknown time: a cut stays when
the velocity jumps by more than noise and the smooth motion around it explain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CUT_PRICE = 24.0
"""Chi-squared that a cut must save: six numbers and a time more to describe a path of a few hundred samples."""
DROP_PRICE = 14.0
GENERAL_PRICE = 8.0
UPRIGHT_PRICE = 8.0
"""Of a piece that goes up or down faster than motion of its kind does."""
_CAP = 30.0
_MOST_SAMPLES = 45
_TIMES = 25


@dataclass(frozen=True)
class Acceleration:
    """What is known beforehand of a piece's acceleration, pixels per second squared, x and y."""

    mean: tuple[float, float]
    sigma: float
    upright_px_s: float = np.inf
    """Speed along the picture's vertical beyond which such motion is unlikely."""


@dataclass(frozen=True)
class Kink:
    """A jump of velocity between two smooth pieces of one path."""

    time_s: float
    sigma_s: float
    place: np.ndarray
    """float64 [2] where both sides meet, pixels."""
    before: np.ndarray
    """float64 [2] velocity just before, pixels per second."""
    after: np.ndarray
    sigma: float
    """Standard error of the jump, pixels per second."""
    saved: float
    """Chi-squared saved over the best smooth fit of the same samples."""
    gap: float
    """Distance in standard errors by which the sides miss each other."""
    bend: float
    """Largest speed that the acceleration on either side makes up within one frame, pixels per second."""
    flown: bool = False
    """Free flight leads to it."""
    flies: bool = False
    """Free flight follows it."""
    calm: bool = False
    """The body hardly speeds up or slows down on either side of it."""

    @property
    def jump(self) -> float:
        """Size of the change of velocity, pixels per second."""
        return float(np.hypot(*(self.after - self.before)))


def path_noise(points: np.ndarray) -> float:
    """Standard deviation of the noise of points [N, 2] a coordinate, from third differences; 0 for fewer than five.

    The lower half of the differences counts, so that kinks every few samples do not pass for noise.
    """
    if len(points) < 5:
        return 0.0
    third = np.abs(np.diff(points, n=3, axis=0)).ravel()
    # The 0.35 quantile of |N(0, 1)| is 0.454; third differences of white noise have the variance 1 + 9 + 9 + 1.
    return float(np.quantile(third, 0.35) / 0.454 / np.sqrt(20.0))


def _design(times_s: np.ndarray, at: np.ndarray | float) -> np.ndarray:
    u = times_s - at
    return np.stack([np.ones_like(u), u, 0.5 * u * u], axis=-1)


def _costs(
    times_s: np.ndarray, points: np.ndarray, sigma: np.ndarray, prior: Acceleration, longest_s: float, fewest: int
) -> np.ndarray:
    """[N, M] cost of the piece of m + 1 samples that ends with sample n; infinite where it is none."""
    count = len(times_s)
    costs = np.full((count, _MOST_SAMPLES), np.inf)
    for length in range(fewest, min(_MOST_SAMPLES, count) + 1):
        index = np.arange(length)[None, :] + np.arange(count - length + 1)[:, None]
        t, p, w = times_s[index], points[index], 1.0 / sigma[index]
        d = _design(t, t.mean(axis=1, keepdims=True)) * w[..., None]
        y = p * w[..., None]
        normal = np.einsum("nki,nkj->nij", d, d)
        right = np.einsum("nki,nkc->nic", d, y)
        stiff = 1.0 / prior.sigma**2
        normal[:, 2, 2] += stiff
        right[:, 2] += stiff * np.array(prior.mean)
        solution = np.linalg.solve(normal, right)
        residual = y - np.einsum("nki,nic->nkc", d, solution)
        off = solution[:, 2] - np.array(prior.mean)
        total = np.minimum(residual**2, _CAP).sum(axis=(1, 2)) + stiff * (off**2).sum(axis=1)
        total += UPRIGHT_PRICE * (np.abs(solution[:, 1, 1]) > prior.upright_px_s)
        total[t[:, -1] - t[:, 0] > longest_s] = np.inf
        costs[length - 1 :, length - 1] = total
    return costs


@dataclass(frozen=True)
class Piece:
    """Samples ``first`` to ``last`` (both included) of a path that one constant acceleration explains."""

    first: int
    last: int
    prior: Acceleration
    """What the acceleration was known to be like."""

    @property
    def count(self) -> int:
        """Number of samples, dropped ones inside it included."""
        return self.last - self.first + 1


def cut_path(
    times_s: np.ndarray,
    points: np.ndarray,
    sigma: np.ndarray,
    general: Acceleration,
    special: Sequence[Acceleration] = (),
) -> list[Piece]:
    """Smooth pieces of a path [N], [N, 2] with noise ``sigma`` [N]; single samples between them may be dropped.

    Each piece is either one of the ``special`` motions (free fall, next to none), for which two samples suffice, or any
    other motion, which must be worth GENERAL_PRICE more.
    """
    count = len(times_s)
    priors = (general, *special)
    each = [_costs(times_s, points, sigma, general, 1.2, 3) + (GENERAL_PRICE if special else 0.0)]
    each += [_costs(times_s, points, sigma, prior, 1.5, 2) for prior in special]
    kinds, costs = np.argmin(each, axis=0), np.min(each, axis=0)
    best = np.full(count + 1, np.inf)  # least cost of the first n samples
    best[0] = 0.0
    came = np.zeros((count + 1, 2), int)  # first sample of the last step, and whether it is a piece
    for end in range(1, count + 1):
        lengths = np.arange(1, min(_MOST_SAMPLES, end) + 1)
        totals = best[end - lengths] + costs[end - 1, lengths - 1] + CUT_PRICE
        pick = int(np.argmin(totals))
        best[end], came[end] = totals[pick], (end - int(lengths[pick]), 1)
        if best[end - 1] + DROP_PRICE < best[end]:
            best[end], came[end] = best[end - 1] + DROP_PRICE, (end - 1, 0)
    pieces = []
    end = count
    while end > 0:
        first, kept = int(came[end, 0]), bool(came[end, 1])
        if kept:
            pieces.append(Piece(first, end - 1, priors[kinds[end - 1, end - 1 - first]]))
        end = first
    return pieces[::-1]


def fit_piece(
    times_s: np.ndarray, points: np.ndarray, sigma: np.ndarray, at_s: float, prior: Acceleration
) -> tuple[np.ndarray, np.ndarray]:
    """Place, velocity and acceleration at ``at_s`` ([3, 2]) and standard errors ([3, 2]) by weighted least squares."""
    d = _design(times_s, at_s) / sigma[:, None]
    y = points / sigma[:, None]
    stiff = 1.0 / prior.sigma**2
    normal, right = d.T @ d, d.T @ y
    normal[2, 2] += stiff
    right[2] += stiff * np.array(prior.mean)
    normal[np.diag_indices(3)] += 1e-12 * np.trace(normal)
    inverse = np.linalg.inv(normal)
    errors = np.sqrt(np.maximum(np.diag(inverse), 0.0))
    return inverse @ right, np.repeat(errors[:, None], 2, axis=1)


def _kink_solutions(
    t: np.ndarray,
    p: np.ndarray,
    sigma: np.ndarray,
    at_s: np.ndarray,
    frame_s: float,
    sides: tuple[Acceleration, Acceleration],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs [T], values [T, 5, 2] (place, velocities and accelerations on either side) and covariances [T, 5, 5].

    One for each of the times ``at_s`` [T] of the kink.
    """
    u = t[None, :] - at_s[:, None]
    early, late = np.minimum(u, 0.0), np.maximum(u, 0.0)
    d = np.stack([np.ones_like(u), early, late, 0.5 * early**2, 0.5 * late**2], axis=-1)
    # A picture taken within a quarter of a frame of the kink is blurred over both sides.
    w = np.where(np.abs(u) < 0.25 * frame_s, 0.4, 1.0) / sigma
    d = d * w[..., None]
    y = p[None] * w[..., None]
    stiff = np.array([1.0 / side.sigma**2 for side in sides])
    mean = np.array([side.mean for side in sides])
    normal = np.einsum("tni,tnj->tij", d, d)
    normal[:, [3, 4], [3, 4]] += stiff
    # Weak enough to say nothing, this keeps a side with a single sample solvable.
    normal[:, range(5), range(5)] += 1e-10
    right = np.einsum("tni,tnc->tic", d, y)
    right[:, 3:] += stiff[:, None] * mean
    covariances = np.linalg.inv(normal)
    values = covariances @ right
    residual = y - np.einsum("tni,tic->tnc", d, values)
    off = values[:, 3:] - mean
    costs = (residual**2).sum(axis=(1, 2)) + (stiff[:, None] * off**2).sum(axis=(1, 2))
    return costs, values, covariances


def smooth_cost(times_s: np.ndarray, points: np.ndarray, sigma: np.ndarray, flight: Acceleration | None) -> float:
    """Chi-squared of the best smooth path: that ``flight``, or without one a polynomial of up to fourth order."""
    w = 1.0 / sigma
    u = times_s - times_s.mean()
    span = max(float(np.abs(u).max()), 1e-9)
    order = 2 if flight is not None else 4 if len(u) >= 9 else 3
    d = np.stack([(u / span) ** k for k in range(order + 1)], axis=-1)
    cost = 0.0
    for axis in (0, 1):
        y = points[:, axis].copy()
        stiff = np.zeros(order + 1)
        if flight is not None:
            y = y - 0.5 * flight.mean[axis] * u**2
            stiff[2] = 1.0 / (0.5 * flight.sigma * span**2) ** 2
        dw = d * w[:, None]
        solution = np.linalg.lstsq(
            np.vstack([dw, np.diag(np.sqrt(stiff))]), np.concatenate([y * w, np.zeros(order + 1)]), rcond=None
        )[0]
        cost += float((((y - d @ solution) * w) ** 2).sum() + (stiff * solution**2).sum())
    return cost


def fit_kink(
    times_s: np.ndarray,
    points: np.ndarray,
    sigma: np.ndarray,
    split: int,
    sides: tuple[Acceleration, Acceleration],
    frame_s: float,
    flight: Acceleration | None,
) -> Kink:
    """Where samples before and from ``split`` on meet, by least squares over the time of the kink.

    Both sides share their place at the kink; their velocities and accelerations are their own, so no side sees the
    other's samples. The time is searched between the samples next to the cut, half a frame beyond included. ``flight``
    is what the samples would be without a kink, None for any smooth motion.
    """
    margin = 0.5 * frame_s
    grid = np.linspace(times_s[split - 1] - margin, times_s[split] + margin, _TIMES)
    costs = _kink_solutions(times_s, points, sigma, grid, frame_s, sides)[0]
    pick = int(np.argmin(costs))
    at_s = float(grid[pick])
    step = float(grid[1] - grid[0])
    if 0 < pick < _TIMES - 1:
        curve = float(costs[pick - 1] - 2 * costs[pick] + costs[pick + 1])
        if curve > 1e-12:
            at_s += float(np.clip(0.5 * (costs[pick - 1] - costs[pick + 1]) / curve, -0.5, 0.5)) * step
    close = grid[costs < costs.min() + 1.0]
    sigma_s = max(0.5 * float(close.max() - close.min()), 0.5 * step)
    solved = _kink_solutions(times_s, points, sigma, np.array([at_s]), frame_s, sides)
    cost, values, covariance = float(solved[0][0]), solved[1][0], solved[2][0]
    variance = covariance[1, 1] + covariance[2, 2] - 2 * covariance[1, 2]
    first, _ = fit_piece(times_s[:split], points[:split], sigma[:split], at_s, sides[0])
    second, _ = fit_piece(times_s[split:], points[split:], sigma[split:], at_s, sides[1])
    miss = float(np.hypot(*(first[0] - second[0])))
    return Kink(
        time_s=at_s,
        sigma_s=sigma_s,
        place=values[0],
        before=values[1],
        after=values[2],
        sigma=float(np.sqrt(max(variance, 0.0))),
        saved=smooth_cost(times_s, points, sigma, flight) - cost,
        gap=miss / float(np.median(sigma)),
        bend=float(max(np.hypot(*values[3]), np.hypot(*values[4])) * frame_s),
    )

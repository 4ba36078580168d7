"""A line through measures whose noise is a share of them, borne out by most and not by a few. Pure.

``y ≈ (intercept + slope · x) × noise``: fitted on logarithms, so that a slow run of a small database counts as one of a
large database does. One measure in five may be far off.
"""

from dataclasses import dataclass

from backproof.arrays import NDArray, np

Numbers = NDArray[np.float64]

_ROUNDS = 40
_ENOUGH_TO_TELL = 6
"""With fewer measures nobody can say which of them is off."""
_FAR_OFF = 6.0
_SLIGHT_NOISE = 0.02
_MOST_LEFT_OUT = 0.2

# Student's t at 97 %, for 1, 2, 3 … degrees of freedom: nine times of ten, and something in hand.
_T = (10.58, 3.90, 2.95, 2.60, 2.42, 2.31, 2.24, 2.19, 2.15, 2.12, 2.10, 2.08, 2.06, 2.05, 2.03, 2.02, 2.02, 2.01, 2.00)
_T_OF_MANY = 1.99


def quantile(freedom: int) -> float:
    """How many standard errors either way hold nine times of ten, by degrees of freedom."""
    return _T[freedom - 1] if freedom <= len(_T) else _T_OF_MANY


@dataclass(frozen=True)
class Line:
    """A fitted line."""

    intercept: float
    slope: float
    covariance: Numbers
    """Of these two."""
    noise: float
    """Standard deviation of one measure's logarithm."""
    freedom: int
    misfit: float
    """Sum of the squares of what it leaves unexplained, of logarithms."""

    def at(self, x: Numbers) -> Numbers:
        """Its values."""
        return self.intercept + self.slope * x

    def variance(self, x: Numbers) -> Numbers:
        """How uncertain these are."""
        of_intercept, both, of_slope = self.covariance[0, 0], self.covariance[0, 1], self.covariance[1, 1]
        return np.asarray(of_intercept + 2 * both * x + of_slope * x**2)


@dataclass(frozen=True)
class Curve:
    """Growth by a share a day: ``exp(intercept + slope · x)``."""

    line: Line
    """Of the logarithm."""

    @property
    def misfit(self) -> float:
        """As a line's."""
        return self.line.misfit

    @property
    def freedom(self) -> int:
        """As a line's."""
        return self.line.freedom

    def at(self, x: Numbers) -> Numbers:
        """Its values."""
        return np.exp(np.minimum(self.line.at(x), _LARGEST_LOGARITHM))

    def variance(self, x: Numbers) -> Numbers:
        """How uncertain these are."""
        return np.asarray(self.at(x) ** 2 * self.line.variance(x))


_LARGEST_LOGARITHM = 100.0


def line(x: Numbers, y: Numbers, other: NDArray[np.bool_] | None = None, rising: bool = False) -> Line:
    """Fit a line.

    Args:
        x: at least two different numbers.
        y: as many, positive.
        other: which of them were measured in another way, that gives a constant share more or less; the line is of
            those that were not. Looked at from four measures on.
        rising: neither intercept nor slope can be below nothing.
    """
    scale = float(np.abs(x).max())
    x = x / scale
    start = _through_the_middle(x, y)
    kept = _not_far_off(np.log(y / _positive(start[0] + start[1] * x, y)), other)
    x, y, other = x[kept], y[kept], None if other is None else other[kept]
    columns = 3 if other is not None and other.any() and not other.all() and len(x) > 3 else 2
    more = np.zeros(len(x)) if other is None or columns == 2 else other.astype(float)
    shift, (intercept, slope) = 0.0, start
    for _ in range(_ROUNDS):
        fitted = _positive(intercept + slope * x, y)
        slopes = np.column_stack([1 / fitted, x / fitted, more])[:, :columns]
        step, *_ = np.linalg.lstsq(slopes, np.log(y / fitted) - shift * more, rcond=None)
        reach = 1.0
        while ((intercept + reach * step[0]) + (slope + reach * step[1]) * x <= 0).any() and reach > 1e-6:
            reach /= 2
        intercept, slope = intercept + reach * step[0], slope + reach * step[1]
        shift += reach * step[2] if columns == 3 else 0.0
        if np.abs(step).max() <= 1e-10 * (abs(intercept) + abs(slope)):
            break
    if rising and (intercept < 0 or slope < 0):
        level = np.log(y) - shift * more
        through_nothing = intercept < 0
        intercept, slope = (
            (0.0, float(np.exp(np.mean(level - np.log(x))))) if through_nothing else (float(np.exp(level.mean())), 0.0)
        )
    fitted = _positive(intercept + slope * x, y)
    left = np.log(y / fitted) - shift * more
    misfit, freedom = float(left @ left), max(1, len(x) - columns)
    slopes = np.column_stack([1 / fitted, x / fitted, more])[:, :columns]
    covariance = misfit / freedom * np.linalg.pinv(slopes.T @ slopes)[:2, :2]
    unscaled = covariance / np.array([[1, scale], [scale, scale**2]])
    return Line(float(intercept), float(slope / scale), unscaled, (misfit / freedom) ** 0.5, freedom, misfit)


def curve(x: Numbers, y: Numbers) -> Curve:
    """Fit growth by a share a day."""
    start = _through_the_middle(x, np.log(y))
    kept = _not_far_off(np.log(y) - start[0] - start[1] * x, None)
    x, y = x[kept], y[kept]
    columns = np.column_stack([np.ones(len(x)), x])
    found, *_ = np.linalg.lstsq(columns, np.log(y), rcond=None)
    left = np.log(y) - columns @ found
    misfit, freedom = float(left @ left), max(1, len(x) - 2)
    covariance = misfit / freedom * np.linalg.pinv(columns.T @ columns)
    logarithm = Line(float(found[0]), float(found[1]), covariance, (misfit / freedom) ** 0.5, freedom, misfit)
    return Curve(logarithm)


def _through_the_middle(x: Numbers, y: Numbers) -> tuple[float, float]:
    """The median of the slopes between any two: a few that are far off do not move it."""
    one, other = np.triu_indices(len(x), 1)
    apart = x[other] != x[one]
    slope = float(np.median((y[other] - y[one])[apart] / (x[other] - x[one])[apart]))
    return float(np.median(y - slope * x)), slope


def _not_far_off(left: Numbers, other: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    everything = np.ones(len(left), dtype=np.bool_)
    if len(left) < _ENOUGH_TO_TELL:
        return everything
    for group in [everything] if other is None else [other, ~other]:
        if group.any():
            left = left - np.where(group, np.median(left[group]), 0)
    noise = 1.4826 * float(np.median(np.abs(left)))
    kept = np.asarray(np.abs(left) <= _FAR_OFF * max(noise, _SLIGHT_NOISE), dtype=np.bool_)
    return kept if (~kept).mean() <= _MOST_LEFT_OUT else everything


def _positive(fitted: Numbers, y: Numbers) -> Numbers:
    return np.maximum(fitted, float(y.min()) * 1e-3)

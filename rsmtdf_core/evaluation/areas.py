"""Area of each class in a map, corrected by reference pixels, with confidence intervals.

The stratified estimators of Olofsson et al., Good practices for estimating area and assessing accuracy of land change,
Remote Sensing of Environment 148 (2014), equations 1 to 11: the strata are the classes of the map, and the reference
pixels are a random sample of each stratum. Counting the pixels of a map is biased, because errors of a large class
outweigh the true pixels of a small one.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rsmtdf_core.arrays import Doubles
from rsmtdf_core.errors import DataError
from rsmtdf_core.settings import Settings

Z = 1.96
"""Half width of a 95 % confidence interval, in standard errors."""
_LEAST = 2  # reference pixels of a mapped class; the variance of one is undefined


class Estimate(Settings):
    """An estimated quantity with its 95 % confidence interval, value - margin to value + margin."""

    value: float
    margin: float


class ClassArea(Settings):
    """The area of a class.

    Attributes:
        name: name of the class.
        mapped: its area in the map, in the unit of the report.
        area: its estimated area, in the same unit.
        users: user's accuracy: the share of its mapped area that is right; None if it is not mapped.
        producers: producer's accuracy: the share of its true area that is mapped; None if its area is 0.
        sampled: number of reference pixels mapped as this class.
    """

    name: str
    mapped: float
    area: Estimate
    users: Estimate | None
    producers: Estimate | None
    sampled: int


class AreaReport(Settings):
    """Areas and accuracies of a map.

    Attributes:
        unit: unit of the areas: `ha`, or `px` without a projected coordinate reference system.
        total: area of the map.
        overall: share of the map's area that is right.
        classes: one entry for each class, in the order of their ids.
        notes: warnings to the reader, a sentence each.
    """

    unit: str
    total: float
    overall: Estimate
    classes: tuple[ClassArea, ...]
    notes: tuple[str, ...] = ()


def estimate_areas(
    matrix: npt.NDArray[np.int64],
    mapped: npt.NDArray[np.int64],
    names: Sequence[str],
    pixel_area: float = 1.0,
    unit: str = "px",
) -> AreaReport:
    """Estimate areas and accuracies from a stratified sample.

    Args:
        matrix: reference pixels, int64 [C, C], with a row for each class of the map and a column for each true class.
        mapped: all pixels of the map by class, int64 [C].
        names: the C class names.
        pixel_area: area of a pixel in the unit of the report.
        unit: that unit.

    Raises:
        DataError: If the map is empty, or a mapped class has fewer than two reference pixels.
    """
    sampled = matrix.sum(axis=1)
    _require_samples(sampled, mapped, names)
    total = mapped.sum()
    weights = mapped / total
    shares = matrix / np.maximum(sampled, 1)[:, None]  # of each stratum
    # The variance of each share; strata without pixels have no weight.
    variances = shares * (1 - shares) / np.maximum(sampled - 1, 1)[:, None]
    areas = weights @ shares
    area_errors = np.sqrt(weights**2 @ variances)
    users, users_variances = shares.diagonal(), variances.diagonal()
    producers, producers_errors = _producers(weights, shares, variances, areas)
    scale = float(total * pixel_area)
    return AreaReport(
        unit=unit,
        total=scale,
        overall=_estimate(weights @ users, np.sqrt(weights**2 @ users_variances)),
        classes=tuple(
            ClassArea(
                name=name,
                mapped=float(mapped[index] * pixel_area),
                area=_estimate(areas[index], area_errors[index], scale),
                users=_estimate(users[index], np.sqrt(users_variances[index]))
                if mapped[index]
                else None,
                producers=_estimate(producers[index], producers_errors[index])
                if areas[index] > 0
                else None,
                sampled=int(sampled[index]),
            )
            for index, name in enumerate(names)
        ),
    )


def _producers(
    weights: Doubles, shares: Doubles, variances: Doubles, areas: Doubles
) -> tuple[Doubles, Doubles]:
    """Return producer's accuracies [C] and their standard errors [C]; 0 for classes without area."""
    divisors = np.where(areas > 0, areas, 1)
    producers = weights * shares.diagonal() / divisors
    weighted = weights[:, None] ** 2 * variances
    own = weighted.diagonal()
    others = weighted.sum(axis=0) - own
    return producers, np.sqrt((1 - producers) ** 2 * own + producers**2 * others) / divisors


def _require_samples(
    sampled: npt.NDArray[np.int64], mapped: npt.NDArray[np.int64], names: Sequence[str]
) -> None:
    if not mapped.sum():
        raise DataError(
            "the map has no pixel with a class", remedy="give a map of `rsmtdf predict`"
        )
    for name, count, pixels in zip(names, sampled.tolist(), mapped.tolist(), strict=True):
        if pixels and count < _LEAST:
            raise DataError(
                f"the class {name!r} covers {pixels / mapped.sum():.2%} of the map and has {count} reference pixels, "
                f"so its errors are unknown",
                remedy=f"label at least {_LEAST} pixels, better 50, where the map shows {name!r}",
            )


def _estimate(value: float, error: float, scale: float = 1.0) -> Estimate:
    return Estimate(value=float(value * scale), margin=float(Z * error * scale))

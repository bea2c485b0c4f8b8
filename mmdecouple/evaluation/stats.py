"""Bootstrap intervals of weighted statistics; images are resampled, not objects."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmdecouple.utils.errors import UserError

Statistic = Callable[[np.ndarray], np.ndarray]
_ELEMENTS = 4_000_000


class MetricValue(NamedTuple):
    """Value of a metric with its bootstrap interval.

    Args:
        value: Value on all items.
        low: Lower end of the interval.
        high: Upper end of the interval.
        count: Number of items.
        resamples: Value on each resample. Statistics of the same items that are estimated with the same seed have the
            same resamples, so that their differences can be taken one by one.
    """

    value: float
    low: float
    high: float
    count: int
    resamples: tuple[float, ...] = ()

    def entry(self) -> dict[str, float]:
        """Returns the entry of a report: `value`, `low`, `high` and `count`."""
        return dict(value=self.value, low=self.low, high=self.high, count=self.count)


def estimate(
    statistic: Statistic,
    groups: Sequence[int] | np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> MetricValue:
    """Computes a statistic with its percentile bootstrap interval.

    Items of one group (objects of one image) are not independent, so they are drawn together: each resample draws G
    groups with replacement, and the weight of an item is the number of times that its group was drawn.

    Args:
        statistic: Function that maps integer-valued weights `(S, n)` to `(S,)`; see `mean`, `median`, `class_mean`.
        groups: `(n,)` group (image) of each item.
        resamples: Number of resamples S.
        level: Share of resamples inside the interval, in (0, 1).
        seed: Seed of the resampling.

    Returns:
        Value on all items, ends of the interval, n, and the value on each resample. A single group gives an interval
        of zero width.

    Raises:
        UserError: There are no items.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13; groups as in the cluster bootstrap.
    """
    groups = np.asarray(groups)
    if len(groups) == 0:
        raise UserError('estimate: no items to resample.')
    unique, member = np.unique(groups, return_inverse=True)
    count = len(unique)
    rng = np.random.Generator(np.random.PCG64(seed))
    chunk = max(1, _ELEMENTS // max(count, len(groups)))
    drawn = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        picks = rng.integers(count, size=(rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(picks.ravel(), minlength=rows * count).reshape(rows, count)
        drawn.append(statistic(times[:, member].astype(np.float64)))
    tail = 50 * (1 - level)
    found = np.concatenate(drawn)
    low, high = np.percentile(found, [tail, 100 - tail])
    value = statistic(np.ones((1, len(groups))))[0]
    return MetricValue(float(value), float(low), float(high), len(groups), tuple(found.tolist()))


def mean(values: np.ndarray) -> Statistic:
    """Returns the weighted mean of `values` `(n,)` as a statistic."""
    values = np.asarray(values, dtype=np.float64)
    return lambda weights: weights @ values / weights.sum(1)


def median(values: np.ndarray) -> Statistic:
    """Returns the median of `values` `(n,)` as a statistic, where each value is repeated by its integer weight."""
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(values, kind='stable')
    ranked = values[order]

    def statistic(weights: np.ndarray) -> np.ndarray:
        passed = weights[:, order].cumsum(1)
        total = passed[:, -1:]
        lower = (passed < np.floor((total + 1) / 2)).sum(1)
        upper = (passed < np.floor(total / 2) + 1).sum(1)
        return (ranked[lower] + ranked[upper]) / 2

    return statistic


def ratio_of_means(numerator: np.ndarray, denominator: np.ndarray) -> Statistic:
    """Returns the ratio of the weighted means of `numerator` `(n,)` and `denominator` `(n,)` as a statistic."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return lambda weights: weights @ numerator / (weights @ denominator)


def class_mean(values: np.ndarray, labels: np.ndarray) -> Statistic:
    """Returns the mean over classes of the weighted mean of `values` `(n,)` in each class as a statistic.

    A class that is missing in a resample is represented by its mean on all items; averaging over fewer classes would
    shift the whole interval where classes are rare.

    Args:
        values: `(n,)`.
        labels: `(n,)` class of each value.
    """
    values = np.asarray(values, dtype=np.float64)
    _, member = np.unique(labels, return_inverse=True)
    one_hot = np.eye(member.max() + 1)[member]
    hits = one_hot * values[:, None]
    overall = hits.sum(0) / one_hot.sum(0)

    def statistic(weights: np.ndarray) -> np.ndarray:
        present = weights @ one_hot
        share = np.broadcast_to(overall, present.shape).copy()
        return np.divide(weights @ hits, present, out=share, where=present > 0).mean(1)

    return statistic


def average(statistics: Sequence[Statistic]) -> Statistic:
    """Returns the mean of several statistics of the same items, which are resampled together."""
    return lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)


def difference(value: MetricValue, other: MetricValue) -> MetricValue:
    """Returns the difference of two statistics of the same items with its 95 % interval, resample by resample."""
    found = np.subtract(value.resamples, other.resamples)
    low, high = np.percentile(found, [2.5, 97.5])
    return MetricValue(value.value - other.value, float(low), float(high), value.count, tuple(found.tolist()))


def paired_interval(
    values: Sequence[float], others: Sequence[float], groups: Sequence[int] | None = None
) -> tuple[float, float] | None:
    """Returns the 95 % interval of mean_i(values_i - others_i), where whole images are resampled.

    Args:
        values: `(n,)`, one value per item.
        others: `(n,)`, values of the same items.
        groups: `(n,)` group (image) of each item; None for independent items.

    Returns:
        Ends of the interval; None if all items belong to one group.
    """
    change = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    groups = np.arange(len(change)) if groups is None else groups
    if len(np.unique(groups)) < 2:
        return None
    found = estimate(mean(change), groups)
    return found.low, found.high


def resampled_interval(resamples: Sequence[float], others: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % interval of the difference of two statistics of the same items.

    Args:
        resamples: `(S,)`, values on the resamples, see `MetricValue`.
        others: `(S,)`, values of the other statistic on the same resamples.

    Returns:
        Ends of the interval; None if neither statistic varies, as for items of one group.
    """
    values, references = np.asarray(resamples, np.float64), np.asarray(others, np.float64)
    if not np.ptp(values) and not np.ptp(references):
        return None
    low, high = np.percentile(values - references, [2.5, 97.5])
    return float(low), float(high)

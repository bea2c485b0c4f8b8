"""Bootstrap intervals of any weighted statistic, resampling images rather than objects."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmdecouple.utils.errors import UserError

Statistic = Callable[[np.ndarray], np.ndarray]
_ELEMENTS = 4_000_000


class MetricValue(NamedTuple):
    """One number of a report with its bootstrap interval and the number of items behind it."""

    value: float
    low: float
    high: float
    count: int


def estimate(
    statistic: Statistic,
    groups: Sequence[int] | np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> MetricValue:
    """A statistic with its percentile bootstrap interval.

    Items of one group (objects of one image) are drawn together, as they are not independent of
    each other: G groups are drawn with replacement `resamples` times and each item weighs as often
    as its group was drawn.

    Args:
        statistic: maps integer-valued weights `(S, n)` to `(S,)`; see `mean`, `median`,
            `class_mean`.
        groups: `(n,)` group (image) of each item.
        resamples: number of resamples S.
        level: share of resamples inside the interval, in (0, 1).
        seed: seed of the resampling.

    Returns:
        Value on all items, the interval's ends, and n. One group gives an interval of zero width.

    Raises:
        ValueError: no items.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13; groups as in the cluster
    bootstrap.
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
    low, high = np.percentile(np.concatenate(drawn), [tail, 100 - tail])
    value = statistic(np.ones((1, len(groups))))[0]
    return MetricValue(float(value), float(low), float(high), len(groups))


def mean(values: np.ndarray) -> Statistic:
    """Weighted mean of `values` `(n,)`."""
    values = np.asarray(values, dtype=np.float64)
    return lambda weights: weights @ values / weights.sum(1)


def median(values: np.ndarray) -> Statistic:
    """Median of `values` `(n,)`, each repeated as often as its integer weight says."""
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
    """Weighted mean of `numerator` `(n,)` over that of `denominator` `(n,)`."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return lambda weights: weights @ numerator / (weights @ denominator)


def class_mean(values: np.ndarray, labels: np.ndarray) -> Statistic:
    """Mean over classes of each class's weighted mean of `values` `(n,)`, with `labels` `(n,)`.

    A class that a resample misses keeps its mean on all items: averaging over fewer classes instead
    would shift the whole interval where classes are rare.
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
    """Plain mean of several statistics of the same items, resampled together."""
    return lambda weights: np.mean([statistic(weights) for statistic in statistics], axis=0)


def paired_interval(
    values: Sequence[float], others: Sequence[float], groups: Sequence[int] | None = None
) -> tuple[float, float] | None:
    """The 95 % interval of mean_i(values_i - others_i), images resampled as a whole.

    Args:
        values: `(n,)`, one for each item.
        others: `(n,)`, of the same items.
        groups: `(n,)` group (image) of each item; None for items that are independent of each other.

    Returns:
        Its ends; None if all items come from one group.
    """
    change = np.asarray(values, np.float64) - np.asarray(others, np.float64)
    groups = np.arange(len(change)) if groups is None else groups
    if len(np.unique(groups)) < 2:
        return None
    found = estimate(mean(change), groups)
    return found.low, found.high

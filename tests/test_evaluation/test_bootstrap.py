import numpy as np
import pytest

from mmdecouple.evaluation import stats


def test_weighted_statistics_equal_those_of_repeated_items():
    rng = np.random.default_rng(0)
    values, other, labels = rng.normal(size=12), rng.uniform(1, 2, 12), rng.integers(0, 3, 12)
    for _ in range(20):
        times = rng.multinomial(12, np.ones(12) / 12)
        v, o, y = (np.repeat(x, times) for x in (values, other, labels))
        weights = times[None].astype(float)
        assert stats.mean(values)(weights)[0] == pytest.approx(v.mean())
        assert stats.median(values)(weights)[0] == pytest.approx(np.median(v))
        assert stats.ratio_of_means(values, other)(weights)[0] == pytest.approx(v.mean() / o.mean())
        per_class = np.mean([(v[y == c] if c in y else values[labels == c]).mean() for c in set(labels)])
        assert stats.class_mean(values, labels)(weights)[0] == pytest.approx(per_class)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(300):
        images = np.repeat(np.arange(40), 3)
        values = rng.normal(size=40)[images] + 0.3 * rng.normal(size=120)
        _, low, high, *_ = stats.estimate(stats.mean(values), images, resamples=300, seed=trial)
        hits += low <= 0 <= high
    assert 0.88 <= hits / 300 <= 0.99


def test_objects_of_one_image_are_resampled_together():
    values = np.repeat(np.random.default_rng(0).normal(size=30), 10)
    together = stats.estimate(stats.mean(values), np.repeat(np.arange(30), 10))
    alone = stats.estimate(stats.mean(values), np.arange(300))
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_the_same_items_give_the_same_interval():
    values = np.random.default_rng(0).normal(size=50)
    first, second = (stats.estimate(stats.median(values), np.arange(50)) for _ in range(2))
    assert first == second and first.low < first.value < first.high


@pytest.mark.parametrize('settings', [{}, dict(resamples=150, level=0.8, seed=3)])
def test_an_interval_is_that_of_a_loop_over_resamples(settings, monkeypatch):
    rng = np.random.default_rng(0)
    groups = rng.integers(3, 17, 40)
    values, keys = rng.normal(size=40), sorted(set(groups))
    draws, found = np.random.default_rng(settings.get('seed', 0)), []
    for _ in range(settings.get('resamples', 1000)):
        drawn = draws.integers(len(keys), size=len(keys))
        found.append(np.mean(np.concatenate([values[groups == keys[place]] for place in drawn])))
    low, high = np.quantile(found, [0.1, 0.9] if settings else [0.025, 0.975])
    expected = values.mean(), low, high, 40
    assert stats.estimate(stats.mean(values), groups, **settings)[:4] == pytest.approx(expected, rel=1e-9)
    # Resamples come in parts that fit the memory: the last one here is shorter than the others.
    monkeypatch.setattr(stats, '_ELEMENTS', 40 * 40)
    assert stats.estimate(stats.mean(values), groups, **settings)[:4] == pytest.approx(expected, rel=1e-9)


def test_one_image_has_no_width_and_no_items_are_an_error():
    found = stats.estimate(stats.mean([1.0, 2.0, 6.0]), [7, 7, 7])
    assert found[:4] == (3, 3, 3, 3)
    with pytest.raises(ValueError, match='no items'):
        stats.estimate(stats.mean([]), [])


def test_an_average_of_statistics_is_their_plain_mean():
    parts = [stats.mean(values) for values in ([1.0, 3.0], [5.0, 9.0], [0.0, 6.0])]
    assert stats.average(parts)(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist() == [4, 2]

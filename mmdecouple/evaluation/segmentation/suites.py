"""Configs of segmentation measures from the options of `tools/analysis_tools/segment.py`."""

from collections.abc import Sequence

from mmdecouple.evaluation.segmentation.head_measures import FCNSegmentation, LinearSegmentation
from mmdecouple.evaluation.segmentation.over_clustering import OverClustering

METHODS = {kind.name: kind.__name__ for kind in (LinearSegmentation, FCNSegmentation, OverClustering)}
QUICK_HEAD = dict(epochs=10, drop_at=8, batch_size=32, grid=28, eval_size=100, augment=False)
QUICK = dict(
    linear=QUICK_HEAD,
    fcn=dict(QUICK_HEAD, channels=64, eval_size=28),
    overcluster=dict(seeds=1, restarts=1, iterations=50),
)


def measure_configs(
    methods: Sequence[str],
    quick: bool = False,
    epochs: int | None = None,
    clusters: Sequence[int | str] | None = None,
    seeds: int | None = None,
) -> list[dict]:
    """Returns configs of the measures, in the order of `methods`.

    Args:
        methods: Keys of `METHODS`; repeats are ignored.
        quick: Whether to compute features once and to use short schedules, small grids and one clustering. The numbers
            are comparable with those of other quick runs only.
        epochs: Epochs of head training; the learning rate drops after 80 % of them. None for the defaults.
        clusters: Numbers of clusters of the over-clustering; None for the default.
        seeds: Number of seeds of every measure; None for the defaults.
    """
    found = []
    for method in dict.fromkeys(methods):
        cfg = dict(type=METHODS[method], **(QUICK[method] if quick else {}))
        if method == 'overcluster' and clusters:
            cfg['clusters'] = tuple(clusters)
        if method != 'overcluster' and epochs is not None:
            cfg.update(epochs=epochs, drop_at=max(round(0.8 * epochs), 1))
        if seeds is not None:
            cfg['seeds'] = seeds
        found.append(cfg)
    return found


def scenes_of(config: dict) -> dict | None:
    """Returns the scene settings of a config that trains on built-in scenes; None for any other config."""
    training = (config.get('train_dataloader') or {}).get('dataset') or {}
    return dict(training.get('scenes') or {}) if training.get('type') == 'SceneImages' else None

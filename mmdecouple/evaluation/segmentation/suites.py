"""Settings of the measures by short names: what the tool's options mean."""

from collections.abc import Sequence

METHODS = dict(linear='LinearSegmentation', fcn='FCNSegmentation', overcluster='OverClustering')
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
    """Configs of the measures, in the order of `methods`.

    Args:
        methods: Keys of `METHODS`.
        quick: Features computed once, short schedules, small grids, one clustering: a look that is comparable with
            nothing but another look.
        epochs: Of the heads; the rate falls after 80 % of them.
        clusters: Of the over-clustering.
        seeds: Of every measure.
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
    """Knobs of the scenes that a config trains on; None for those that train on something else."""
    training = (config.get('train_dataloader') or {}).get('dataset') or {}
    return dict(training.get('scenes') or {}) if training.get('type') == 'SceneImages' else None

"""Run folders and measured figures made from nothing, for the tests of reports."""

import json
from pathlib import Path

import numpy as np

KEYS = (
    'oknn_top1',
    'oknn_top5',
    'oknn_class_mean',
    'oknn_matched_top1',
    'oknn_d_top1',
    'oknn_d_top5',
    'oknn_d_class_mean',
    'oknn_gap',
    'cr_inter_clean_mean',
    'cr_inter_clean_median',
    'cr_inter_clean_ratio_of_means',
    'cr_inter_masked_mean',
    'cr_inter_masked_median',
    'cr_intra_pixel',
    'cr_intra_cell',
    'context_shift',
    'background_leak',
    'lsc_mean',
)


def coupling(level: float, manifest: str = 'a' * 64, dataset: str = 'scenes', seed: int = 0, count: int = 400) -> dict:
    """Figures of a network that couples by `level` (about 0 to 1), on shared synthetic objects."""
    objects = np.random.default_rng(7).random(count)
    noise = np.random.default_rng(seed)
    values = {
        'context_shift': 0.05 + 0.2 * level + 0.1 * objects + 0.02 * noise.random(count),
        'cr_intra_cell': 0.02 + 0.25 * level * objects + 0.05 * noise.random(count),
        'cr_intra_pixel': 0.1 + 0.3 * level * objects + 0.05 * noise.random(count),
        'oknn_top1': (objects + 0.3 * noise.random(count) > 0.6).astype(float),
        'background_leak': (objects < 0.2 + 0.5 * level).astype(float),
    }
    metrics = {}
    for key in KEYS:
        if key in values:
            value, spread = values[key].mean(), 1.96 * values[key].std() / count**0.5
        else:
            value, spread = 0.3 + 0.3 * level + 0.05 * noise.random(), 0.04
        metrics[key] = dict(value=float(value), low=float(value - spread), high=float(value + spread), count=count)
    edges = np.linspace(0, 1, 51)
    histograms = {
        key: dict(edges=edges.tolist(), counts=np.histogram(values[key], edges)[0].tolist())
        for key in ('cr_intra_cell', 'cr_intra_pixel', 'context_shift')
    }
    ratio = np.arange(10) / 10
    curves = {
        key: dict(
            ratio=ratio.tolist(),
            median=(1 + level * ratio * scale).tolist(),
            mean=(1 + 1.3 * level * ratio * scale).tolist(),
        )
        for key, scale in (('cr_inter_clean', 0.5), ('cr_inter_masked', 0.3))
    }
    return {
        'format': 'mmdecouple-coupling/1',
        'config': 'c.py',
        'checkpoint': 'e.pth',
        'dataset': dataset,
        'manifest_sha256': manifest,
        'metrics': metrics,
        'histograms': histograms,
        'curves': curves,
        'values': {key: value.tolist() for key, value in values.items()},
    }


def write_run(
    folder: Path,
    measured: dict | None,
    decoupled: bool = False,
    seed: int = 0,
    config: str = 'model = dict(type="Toy")\n',
) -> Path:
    """Write a run folder as mmengine leaves it: dumped config, scalars, and what was measured."""
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    (folder / 'toy_config.py').write_text(config)
    rng = np.random.default_rng(seed)
    lines = []
    for step in range(5, 405, 5):
        fall = float(np.exp(-step / 120))
        row = dict(
            lr=1e-3,
            data_time=0.01,
            time=0.12,
            epoch=1,
            iter=step,
            step=step,
            loss_global=2 + 3 * fall + 0.2 * rng.random(),
            loss_dense=1 + 4 * fall + 0.2 * rng.random(),
        )
        if decoupled:
            row |= dict(loss_decoupling=0.5 + fall + 0.1 * rng.random(), decoupling=2 + 3 * fall, foreground_share=0.6)
        row['loss'] = sum(value for key, value in row.items() if key.startswith('loss_'))
        lines.append(json.dumps(row))
    (logs / 'scalars.json').write_text('\n'.join(lines) + '\n')
    if measured is not None:
        (folder / 'coupling.json').write_text(json.dumps(measured))
    return folder

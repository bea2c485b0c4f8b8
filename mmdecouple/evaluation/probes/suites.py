"""Configs of probes from short names, as in `--dataset coco:ROOT` and `--dataset scenes`."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmdecouple.datasets.data_spec import DataSpec, read_spec, unlabelled
from mmdecouple.evaluation.measures.catalog import default_measures, measure_types
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

# Kinds of data without annotations.
UNLABELLED = ('folder', 'list', 'pack')


def probe_config(
    dataset: str | None,
    config: dict,
    *,
    size: int | None = None,
    cell: int | None = None,
    seed: int | None = None,
    manifest: str | None = None,
    measures: Sequence[str] | None = None,
    limit: int | None = None,
    removal: str | None = None,
) -> dict:
    """Returns the config of a `ProbeDataset`.

    Args:
        dataset: `coco:ROOT` (splits train2017 and val2017), `coco:ROOT:TRAIN:VAL`, `coco` (data/coco), `scenes` (the
            scenes that the config trains on, or the defaults), `folder:PATH`, `list:FILE` or `pack:DIR` for images
            without annotations, or None for the probes of the config.
        config: Complete config of a network; empty for a network without a config.
        size: Side of the images in pixels; None for 224 with COCO, the size of the scenes, or that of the config.
        cell: Side of a patch cell in pixels; None for 16 with COCO, 8 with scenes, or that of the config.
        seed: Seed of the draws; None for 0, or that of the config.
        manifest: JSON file of the draws.
        measures: Types of the measures; None for all.
        limit: Maximum number of images, pairs or objects that a measure draws, at least 1.
        removal: Setting of `InterCouplingRatio`; None for `mask`, or that of the config.

    Raises:
        UserError: `dataset` cannot be used, the config has no probes, or a measure is not among those of the probes.
    """
    if dataset is None:
        probe = configured_probe(config)
    elif dataset == 'scenes':
        probe = scene_probe(config, size)
    elif dataset.split(':')[0] == 'coco' and dataset.count(':') in (0, 1, 3):
        probe = coco_probe(*dataset.split(':')[1:])
    else:
        probe = region_probe(read_spec(dataset, UNLABELLED), seed or 0, limit)
    given = dict(size=size, cell=cell, seed=seed, manifest=manifest)
    probe.update({key: value for key, value in given.items() if value is not None})
    probe['measures'] = _selected(probe.get('measures') or default_measures(), measures, limit)
    if removal is not None:
        inter = [measure for measure in probe['measures'] if measure['type'] == 'InterCouplingRatio']
        if not inter:
            raise UserError(
                f'--removal {removal} is a setting of InterCouplingRatio, which is not among the '
                'measures; omit it, or add that measure (--measures).'
            )
        inter[0]['removal'] = removal
    return probe


def configured_probe(config: dict) -> dict:
    """Returns the `ProbeDataset` of a config: that of testing, of validation, or of its `CouplingHook`.

    Args:
        config: Complete config of a network; empty for a network without a config.

    Returns:
        A copy of its config, with the list of `measures`; all measures with their defaults if the config lists none.

    Raises:
        UserError: The config has no `ProbeDataset`.
    """
    places = [config.get(key) and config[key].get('dataset') for key in ('test_dataloader', 'val_dataloader')]
    places += [hook.get('probe') for hook in config.get('custom_hooks') or [] if isinstance(hook, dict)]
    for place in places:
        if place and place.get('type') == 'ProbeDataset':
            return {**deepcopy(dict(place)), 'measures': deepcopy(place.get('measures')) or default_measures()}
    reason = (
        'The config has no ProbeDataset (config key test_dataloader.dataset)'
        if config
        else 'None of the networks has a config with a ProbeDataset'
    )
    raise UserError(f'{reason}; choose the data with --dataset coco:ROOT or --dataset scenes.')


def coco_probe(root: str = 'data/coco', train: str = 'train2017', val: str = 'val2017') -> dict:
    """Returns the config for COCO in its standard layout: the bank on `train`, scored objects on `val`."""

    def split(name: str) -> dict:
        return dict(
            type='CocoObjects',
            ann_file=str(Path(root) / 'annotations' / f'instances_{name}.json'),
            img_prefix=str(Path(root) / name),
            name=f'{Path(root).name}-{name}',
        )

    return dict(type='ProbeDataset', objects=split(val), bank=split(train))


def region_probe(spec: DataSpec, seed: int = 0, limit: int | None = None) -> dict:
    """Returns the config for images without annotations, with random regions in place of objects.

    Args:
        spec: Data of one of the kinds `UNLABELLED`.
        seed: Seed of the choice of images and of the regions.
        limit: Maximum number of images; None for that of `RegionImages`.
    """
    objects = dict(type='RegionImages', images=unlabelled(spec), seed=seed, name=Path(spec.path).resolve().stem)
    if limit is not None:
        objects['limit'] = max(limit, 2)
    measures = [dict(type=name, **kind.region_settings()) for name, kind in measure_types().items()]
    return dict(type='ProbeDataset', objects=objects, measures=measures)


def scene_probe(config: dict, size: int | None = None) -> dict:
    """Returns the config for built-in scenes, with filters of the measures that suit their small images.

    Args:
        config: Complete config of a network, whose training scenes are used; empty for the default scenes.
        size: Side of the scenes in pixels; None for that of the config.
    """
    training = (config.get('train_dataloader') or {}).get('dataset') or {}
    scenes = dict(training.get('scenes') or {}) if training.get('type') == 'SceneImages' else {}
    side = size or scenes.get('size', 96)
    side = side if isinstance(side, int) else min(side)
    scenes['size'] = side

    def split(name: str, count: int, **knobs: Any) -> dict:
        return dict(type='SceneObjects', num_images=count, split=name, scenes={**scenes, **knobs})

    return dict(
        type='ProbeDataset',
        objects=split('val', 1000),
        bank=split('train', 3000),
        singles=split('val', 400, objects=(1, 1)),
        size=side,
        cell=8,
        measures=[dict(type=name, **kind.scene_settings(side)) for name, kind in measure_types().items()],
    )


def _selected(configs: Sequence[dict], names: Sequence[str] | None, limit: int | None) -> list[dict]:
    known = [config['type'] for config in configs]
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise UserError(f'--measures: {unknown[0]} is not among {", ".join(known)}.')
    selected = [dict(config) for config in configs if names is None or config['type'] in names]
    for config in selected if limit is not None else []:
        default = MEASURES.build(config)
        for key in default.limits:
            config[key] = min(limit, getattr(default, key) or limit)
    return selected

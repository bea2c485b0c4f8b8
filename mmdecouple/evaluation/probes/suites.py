"""Configs of the probes of data, as in `--data coco:ROOT` and `--data scenes`."""

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.measures.catalog import default_measures, measure_types, standard_measures
from mmdecouple.registry import MEASURES
from mmdecouple.utils.data_spec import COMPONENTS, MEASURED, OBJECTS, DataSpec, image_files, read_spec
from mmdecouple.utils.errors import UserError

_SPLITS = dict(objects='val', bank='train')


def probe_config(
    data: str | None,
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
        data: Specification of the data, see `read_spec`, of a kind in `MEASURED`; None for the probes of the config.
        config: Complete config of a network; empty for a network without a config.
        size: Side of the images in pixels; None for 224 with files, the size of the scenes, or that of the config.
        cell: Side of a patch cell in pixels; None for 16 with files, 8 with scenes, or that of the config.
        seed: Seed of the draws; None for 0, or that of the config.
        manifest: JSON file of the draws.
        measures: Types of the measures; None for those of the config, or all standard ones.
        limit: Maximum number of images, pairs or objects that a measure draws, at least 1.
        removal: Setting of `InterCouplingRatio`; None for `mask`, or that of the config.

    Raises:
        UserError: `data` cannot be used, the config has no probes, or a measure is not among those of the probes.
    """
    if data is None:
        probe = configured_probe(config)
    else:
        probe = data_probe(read_spec(data, MEASURED), config, size, seed or 0, limit)
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
    raise UserError(f'{reason}; choose the data with --data coco:ROOT or --data scenes.')


def data_probe(data: DataSpec, config: dict, size: int | None = None, seed: int = 0, limit: int | None = None) -> dict:
    """Returns the config of the `ProbeDataset` of data: its objects, and the bank and measures that suit them.

    Args:
        data: Data of a kind in `MEASURED`.
        config: Complete config of a network, for `scene_settings`; may be empty.
        size: Side of scenes in pixels; None for that of their settings.
        seed: See `region_probe`.
        limit: See `region_probe`.
    """
    if data.kind in COMPONENTS:
        return component_probe(data)
    if data.kind not in OBJECTS:
        return region_probe(data, seed, limit)
    return scene_probe(scene_settings(data, config), size) if data.kind == 'scenes' else coco_probe(data)


def coco_probe(data: DataSpec) -> dict:
    """Returns the config for files in COCO's layout: the bank on the training split, scored objects on the other."""

    def split(name: str) -> dict:
        folder, listing, name = image_files(data, name)
        return dict(type='CocoObjects', ann_file=listing, img_prefix=folder, name=f'{Path(data.path).name}-{name}')

    return dict(type='ProbeDataset', objects=split('val'), bank=split('train'))


def component_probe(data: DataSpec) -> dict:
    """Returns the config for label maps, whose connected components are the objects.

    Args:
        data: Data of a kind in `COMPONENTS`.
    """
    splits = {role: dict(type='LabelObjects', data=str(data), split=split) for role, split in _SPLITS.items()}
    return dict(type='ProbeDataset', **splits)


def region_probe(data: DataSpec, seed: int = 0, limit: int | None = None) -> dict:
    """Returns the config for images without annotations, with random regions in place of objects.

    Args:
        data: Data of kind `folder`, `list` or `pack`.
        seed: Seed of the choice of images and of the regions.
        limit: Maximum number of images; None for that of `RegionImages`.
    """
    if data.kind == 'pack':
        images, name = dict(type='ShardedImages', root=data.path), Path(data.path).resolve().name
    else:
        folder, listing, name = image_files(data)
        images = dict(type='ImageDataset', ann_file=listing, img_prefix=folder)
    objects = dict(type='RegionImages', images=images, seed=seed, name=name)
    if limit is not None:
        objects['limit'] = max(limit, 2)
    measures = [dict(type=name, **kind.region_settings()) for name, kind in standard_measures().items()]
    return dict(type='ProbeDataset', objects=objects, measures=measures)


def scene_probe(scenes: dict, size: int | None = None) -> dict:
    """Returns the config for built-in scenes, with filters of the measures that suit their small images.

    Args:
        scenes: Arguments of `SceneSpec`; empty for the default scenes.
        size: Side of the scenes in pixels; None for that of `scenes`.
    """
    side = size or scenes.get('size', 96)
    side = side if isinstance(side, int) else min(side)
    scenes = {**scenes, 'size': side}

    def split(name: str, count: int, **knobs: Any) -> dict:
        return dict(type='SceneObjects', num_images=count, split=name, scenes={**scenes, **knobs})

    return dict(
        type='ProbeDataset',
        objects=split('val', 1000),
        bank=split('train', 3000),
        singles=split('val', 400, objects=(1, 1)),
        size=side,
        cell=8,
        measures=[dict(type=name, **kind.scene_settings(side)) for name, kind in standard_measures().items()],
    )


def _selected(configs: Sequence[dict], names: Sequence[str] | None, limit: int | None) -> list[dict]:
    given = [config['type'] for config in configs]
    known = [*given, *(name for name, kind in measure_types().items() if not kind.standard and name not in given)]
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise UserError(f'--measures: {unknown[0]} is not among {", ".join(known)}.')
    selected = [dict(config) for config in configs if names is None or config['type'] in names]
    selected += [dict(type=name) for name in known if name in (names or ()) and name not in given]
    for config in selected if limit is not None else []:
        default = MEASURES.build(config)
        for key in default.limits:
            config[key] = min(limit, getattr(default, key) or limit)
    return selected

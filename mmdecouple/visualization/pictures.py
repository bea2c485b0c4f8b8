"""Figures that use the networks of a report: a decoupled batch, and affinity."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate

from mmdecouple.datasets.objects import ObjectDataset, ObjectImage
from mmdecouple.datasets.resizing import resize
from mmdecouple.decoupling.composition import mix_pixels
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.networks.network import open_network
from mmdecouple.registry import DATASETS
from mmdecouple.utils.errors import UserError

from .affinity import affinity_figure, affinity_maps, largest_instance_point
from .batches import decoupled_batch_figure, to_uint8
from .report import Exhibit, styles_of
from .runs import Run

_BATCH = 32
_COLUMNS = 6
_SEED = 0


def model_pictures(
    runs: Sequence[Run], data: str | None = None, opening: Mapping[str, Any] | None = None
) -> tuple[list[Exhibit], list[str]]:
    """Draws a decoupled batch and affinity for the networks of several runs.

    Args:
        runs: Runs of a report.
        data: Specification of the measured data, see `probe_config`; None for the probes of the first config.
        opening: Arguments of `open_network`; None for its defaults.

    Returns:
        The figures, and one line for each figure that could not be drawn because its data are missing.
    """
    makers = {
        'decoupled batch': partial(decoupled_batch, runs, opening),
        'affinity': partial(affinity, runs, data, opening),
    }
    exhibits, missing = [], []
    for name, maker in makers.items():
        try:
            exhibits += maker()
        except (FileNotFoundError, ValueError) as error:
            missing.append(f'{name}: {error}')
    return exhibits, missing


def decoupled_batch(runs: Sequence[Run], opening: Mapping[str, Any] | None = None) -> list[Exhibit]:
    """Draws the first training batch of the first run whose branch mixes backgrounds.

    Args:
        runs: Runs of a report.
        opening: See `model_pictures`.

    Returns:
        One figure; none if no run mixes backgrounds.

    Raises:
        UserError: The training data of the config are missing.
    """
    for run in runs:
        branch = (run.config or {}).get('model', {}).get('decoupling')
        if branch and branch.get('background', 'partner') != 'none':
            break
    else:
        return []
    model = open_network(run.network, **(opening or {})).model.cpu()
    dataset = _training_data(run.config)
    items = [dataset[(0, index)] for index in range(min(_BATCH, len(dataset)))]
    preprocessor = model.data_preprocessor
    preprocessor.set_step(_SEED, 0, 0)
    step = model.begin(**preprocessor(default_collate(items), training=True))
    decoupled, views = step.decoupled, step.stacked(model.flow.teacher[: model.flow.decoupled])
    keys, partners, mixed = (
        to_uint8(images, preprocessor.mean.flatten(), preprocessor.std.flatten())
        for images in (
            views[decoupled.rows],
            views[decoupled.partners],
            mix_pixels(views, decoupled.rows, decoupled.partners, decoupled.cut_mask),
        )
    )
    figure = decoupled_batch_figure(keys, decoupled.cut_mask.cpu().numpy(), partners, mixed, _COLUMNS)
    return [
        Exhibit(
            'decoupled_batch',
            'Pictures',
            f'A decoupled batch of {run.name}',
            'The input of the teacher is the key view. The student also receives the decoupled view, in which '
            'the cut cells show another image of the batch; the de-coupling loss is computed on the other cells.',
            figure,
        )
    ]


def affinity(runs: Sequence[Run], data: str | None = None, opening: Mapping[str, Any] | None = None) -> list[Exhibit]:
    """Draws all runs' affinity maps at the centers of the largest instances of a few images.

    Args:
        runs: Runs of a report.
        data: See `model_pictures`.
        opening: See `model_pictures`.

    Returns:
        Two figures: all maps on one color scale, and each map on its own.

    Raises:
        UserError: The data set has no object.
    """
    config = next((run.config for run in runs if run.config), {})
    probes = probe_config(data, config, limit=_COLUMNS)
    objects = DATASETS.build(probes['objects'])
    kind = 'region' if getattr(objects, 'kind', 'objects') == 'regions' else 'object'
    items = _pictured(objects, probes.get('size', 224))
    points = [largest_instance_point(item) for item in items]
    images = [torch.from_numpy(item.image).permute(2, 0, 1) for item in items]
    maps = {}
    for run in runs:
        model = open_network(run.network, **(opening or {})).model
        normalized = model.data_preprocessor(dict(inputs=images), training=False)['inputs']
        maps[run.name] = affinity_maps(model, torch.stack(list(normalized)), torch.tensor(points)).numpy()
    figures = {
        scale: affinity_figure([item.image for item in items], points, maps, styles_of(runs), scale)
        for scale in ('fixed', 'per_map')
    }
    return [
        Exhibit(
            'affinity',
            'Pictures',
            'Point affinity, same points for every network',
            f'Cosine between the feature at the dot (center of the largest {kind}) and the feature at every '
            'other position, on one scale from 0 to 1. The map of a feature without coupling is '
            'bright on the object and dark elsewhere.',
            figures['fixed'],
        ),
        Exhibit(
            'affinity_stretched',
            'Pictures',
            'Point affinity, each map stretched',
            'The same maps, each scaled from its minimum to its maximum: compare shapes here, not levels.',
            figures['per_map'],
        ),
    ]


def _training_data(config: Config):
    dataset = dict(config.get('train_dataloader', {}).get('dataset', {}))
    if not dataset:
        raise UserError('the config has no training data of the built-in types; set train_dataloader.dataset.')
    if dataset.get('seed') is None:
        dataset['seed'] = _SEED
    return DATASETS.build(dataset)


def _pictured(objects: ObjectDataset, size: int) -> list[ObjectImage]:
    """Returns the first images with at least two objects, resized to `size` x `size`."""
    counts = np.array([len(objects.info(index)['ids']) for index in range(len(objects))])
    chosen = np.flatnonzero(counts >= 2)[:_COLUMNS]
    chosen = chosen if len(chosen) else np.flatnonzero(counts)[:_COLUMNS]
    if not len(chosen):
        raise UserError(f'data set {objects.name} has no object; choose a data set with annotated objects.')
    items = []
    for index in chosen:
        item = objects.objects(int(index))
        masks = [
            cv2.resize(mask.astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST).astype(bool)
            for mask in item.masks
        ]
        items.append(item._replace(image=resize(item.image, (size, size)), masks=np.stack(masks)))
    return items

"""Training data, and what can be measured on them, from a specification of the command line."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdecouple.datasets.packed_subset import is_pack
from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.probes.suites import coco_probe
from mmdecouple.registry import DATASETS
from mmdecouple.utils.configs import SCOPE
from mmdecouple.utils.data_spec import DataSpec, image_files
from mmdecouple.utils.errors import UserError

# Views of SoCo need boxes, for which other data have no file.
_PROPOSALS = 'LoadProposals'
# Side and cell of the probes for the networks of the demo, which have a stride of 8 pixels.
_SMALL_PROBES = dict(size=128, cell=8)
_TESTS = ('test_dataloader', 'test_evaluator', 'test_cfg')


def is_drawn(data: DataSpec) -> bool:
    """Returns whether the images are built-in scenes, which are drawn."""
    return data.kind == 'scenes' and not data.is_export


def name_of(data: DataSpec) -> str:
    """Returns a name of the data for files."""
    if is_drawn(data):
        return 'scenes'
    name = Path(data.path).resolve().name if data.kind == 'pack' else image_files(data).name
    name = data.kind if data.kind.startswith('coco') else name
    return re.sub(r'[^\w-]+', '-', name).strip('-') or data.kind


def absolute(data: DataSpec) -> DataSpec:
    """Returns the same data with absolute paths, which do not depend on the working folder."""
    path, folder = (os.path.abspath(part) if part else '' for part in (data.path, data.folder))
    if is_drawn(data) and '::' in data.path:
        path = data.path
    return DataSpec(data.kind, path, data.splits, folder)


def set_data(config: Config, data: DataSpec, published: Config | None) -> None:
    """Replaces the training data of a shipped config, and its probes by those that the data allow.

    Annotated data (`coco`, `coco128`, exported scenes) are measured on their own validation objects, drawn scenes as
    before, and other images not at all.

    Args:
        config: Config, changed in place; its views are kept.
        data: Data of a kind in `PICTURES`.
        published: Published config of the method if `config` is that of the demo; else None. The demo has a weak hue
            jitter, because the hue distinguishes its scenes.

    Raises:
        UserError: The config that names the scenes cannot be read.
    """
    loader = config.train_dataloader
    pipeline = loader.dataset.pipeline
    if pipeline[0].type == _PROPOSALS:
        pipeline[0] = dict(type='GridProposals')
    if is_drawn(data):
        settings = scene_settings(data, config)
        # Their size belongs to the network.
        loader.dataset.scenes.update({key: value for key, value in settings.items() if key != 'size'})
        return
    if published is not None:
        _take_hue(pipeline, published.train_dataloader.dataset.pipeline)
    if data.kind == 'pack' or is_pack(data.path):
        loader.dataset = dict(type='ShardedImages', root=data.path, pipeline=pipeline)
    else:
        files = image_files(data)
        loader.dataset = dict(
            type='ImageDataset', data_root='', ann_file=files.listing, img_prefix=files.folder, pipeline=pipeline
        )
    if data.kind in ('coco', 'coco128', 'scenes'):
        config.test_dataloader.dataset = dict(coco_probe(data), **(_SMALL_PROBES if published is not None else {}))
    else:
        for key in _TESTS:
            config.pop(key)


def count_images(config: Config) -> int:
    """Returns the number of images of the training data of a config.

    Raises:
        UserError: There are fewer than two images, or the data cannot be read, see `ImageDataset`.
    """
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            images = len(DATASETS.build(config.train_dataloader.dataset))
    except UserError as error:
        # The user has given an option, not these keys.
        reason = re.sub(r' \(config keys? [^)]*\)', '', str(error)).removeprefix('ImageDataset: ')
        raise UserError(f'--data: {reason}') from error
    if images < 2:
        raise UserError(f'--data: {images} image is too few; a batch needs at least two images, better hundreds.')
    return images


def _take_hue(pipeline: list, published: list) -> None:
    strength = next((jitter.hue for jitter in _jitters(published)), None)
    for jitter in _jitters(pipeline):
        jitter.hue = strength


def _jitters(block: Any) -> Iterator[Any]:
    """Yields the color jitters at any depth of a pipeline."""
    if isinstance(block, dict):
        if block.get('type') == 'RandomColorJitter':
            yield block
        block = list(block.values())
    for inner in block if isinstance(block, list | tuple) else ():
        yield from _jitters(inner)

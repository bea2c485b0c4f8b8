"""Numbers measured with this package, read from the files in docs/results as written by the tools."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmdecouple.evaluation.measures.catalog import find_spec
from mmdecouple.evaluation.probes.manifest import FORMAT as DRAWS
from mmdecouple.evaluation.segmentation.catalog import segmentation_specs
from mmdecouple.registry import MEASURES
from mmdecouple.utils.errors import UserError

from .labels import ADE, COCO, OBJECTS, STUFF, VOC, VOC_SEG, Metric
from .published import ROOT

RESULTS = ROOT / 'docs' / 'results'
_BOX = {
    'coco/bbox_mAP': 'box AP',
    'coco/bbox_mAP_50': 'box AP50',
    'coco/bbox_mAP_75': 'box AP75',
    'coco/segm_mAP': 'mask AP',
    'coco/segm_mAP_50': 'mask AP50',
    'coco/segm_mAP_75': 'mask AP75',
}
_VOC = {'pascal_voc/mAP': 'box AP', 'pascal_voc/AP50': 'box AP50', 'pascal_voc/AP75': 'box AP75'}
# Task -> data set, key of the metric -> its name, factor.
_TRANSFER = {
    'coco-mask-rcnn-c4': (COCO, _BOX, 100),
    'coco-cascade-vit': (COCO, _BOX, 100),
    'ade-upernet': (ADE, {'mIoU': 'mIoU'}, 1),
    'voc-faster-rcnn-c4': (VOC, _VOC, 100),
}
# Networks of the protocols; rows of earlier versions, which had no other networks, do not name theirs.
_ARCHS = ('resnet50', 'vit-s16')
# Names of the metafiles, which write the four accuracies in full.
_OBJECTS = {
    'oknn_top1': 'OKNN top 1',
    'oknn_top5': 'OKNN top 5',
    'oknn_d_top1': 'OKNN-D top 1',
    'oknn_d_top5': 'OKNN-D top 5',
    **{key: find_spec(key).label for key in ('cr_inter_clean_median', 'cr_intra_pixel')},
}
_SEGMENTS = {key: spec.label for key, spec in segmentation_specs().items() if spec.headline}
# Name of the data set -> name in the table, and number of images, as small subsets may have the same name.
_SEGMENT_DATA = {'voc12-val': (VOC_SEG, 1449), 'coco-stuff15-val2017': (STUFF, 5000)}
_OBJECT_IMAGES, _OBJECT_SIZE = 5000, 224


class OwnNumber(NamedTuple):
    """Number measured with this package.

    Args:
        config: Stem of the pre-training config.
        metric: Data set and name, as in the metafiles.
        value: Value, in the unit of the published number.
        source: File, and the position in it.
    """

    config: str
    metric: Metric
    value: float
    source: str


def read_own_numbers(folder: Path = RESULTS) -> tuple[list[OwnNumber], list[str]]:
    """Reads the numbers of all rows of `transfer.py` and all reports of `coupling.py` and `segment.py` in a folder.

    Rows of ablations are read by `read_ablation_rows` instead; draws beside the reports are ignored.

    Args:
        folder: Folder of the results.

    Returns:
        The numbers, and a line for each result that is not comparable with published numbers: smoke runs, other data or
        settings, and networks that were not trained with a config of this package.

    Raises:
        UserError: A file is not a result of these tools.
    """
    found: list[OwnNumber] = []
    left_out: list[str] = []
    for _, place, record in _records(folder):
        if 'task' in record and 'metrics' in record:
            reason, numbers = _other_task(record), _of_transfer(record, place)
        elif str(record.get('format', '')).startswith('mmdecouple-coupling'):
            reason, numbers = (
                _other_network(record) or _other_objects(record),
                _of_report(record, _OBJECTS, OBJECTS, place),
            )
        elif 'val' in record and 'class_iou' in record:
            reason = _other_network(record) or _other_segments(record)
            numbers = _of_report(record, _SEGMENTS, _SEGMENT_DATA.get(record['val']['name'], ('', 0))[0], place)
        elif {'table', 'scale', 'row'} <= record.keys() or record.get('format') == DRAWS:
            continue
        else:
            raise UserError(f'{place} is not a result of transfer.py, coupling.py, segment.py or ablate.py; remove it.')
        if reason:
            left_out.append(f'{place} is not in the table: {reason}.')
        else:
            found += numbers
    return found, left_out


def read_ablation_rows(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Returns the raw rows of `ablate.py` in a folder, each with its `source`."""
    return [
        {**record, 'source': path.relative_to(folder).as_posix()}
        for path, _, record in _records(folder)
        if {'table', 'scale', 'row'} <= record.keys()
    ]


def _records(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in sorted((*folder.rglob('*.json'), *folder.rglob('*.jsonl'))):
        name = path.relative_to(folder).as_posix()
        texts = path.read_text().splitlines() if path.suffix == '.jsonl' else [path.read_text()]
        for number, text in enumerate(texts, 1):
            place = f'{name}, line {number}' if path.suffix == '.jsonl' else name
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise UserError(f'{folder / place}: not JSON ({error}); copy the file again.') from error
            if not isinstance(record, dict):
                raise UserError(f'{folder / place} holds a {type(record).__name__}, not a result; remove it.')
            yield path, place, record


def _config(text: str) -> str:
    """Returns the stem of a config, without the start time that a copy in a run folder has in its name."""
    return re.sub(r'_\d{8}_\d{6}$', '', Path(text).name.removesuffix('.py'))


def _other_task(row: dict[str, Any]) -> str:
    """Returns the reason why a row is not comparable with published numbers; empty if it is comparable."""
    if row['task'] not in _TRANSFER:
        return f'no number was published for the task {row["task"]}'
    arch = row.get('arch', _ARCHS[0])
    return '' if arch in _ARCHS else f'the task was built on {arch}, another network than the published one'


def _other_network(report: dict[str, Any]) -> str:
    if not report['config']:
        return 'its network was built from no config'
    if not report['checkpoint']:
        return 'its network is untrained'
    if report.get('layer'):
        return f'it was read at layer {report["layer"]}'
    return f'it was measured with --role {report["measured"]}' if report.get('measured') else ''


def _other_objects(report: dict[str, Any]) -> str:
    images, size = report.get('images'), report.get('size')
    if not re.fullmatch(r'(.*[-_])?val2017', report['dataset']) or images != _OBJECT_IMAGES:
        return f'{images} images of {report["dataset"]} are not the {_OBJECT_IMAGES} of COCO val2017'
    if size != _OBJECT_SIZE:
        return f'images were shown at {size} pixels, not at {_OBJECT_SIZE}'
    changed = [
        config for config in report['measures'] if MEASURES.build(config) != MEASURES.build(dict(type=config['type']))
    ]
    return f'a measure had other settings than its own: {changed[0]}' if changed else ''


def _other_segments(report: dict[str, Any]) -> str:
    name, images = report['val']['name'], report['val']['images']
    if name not in _SEGMENT_DATA:
        return f'no number was published for {name}'
    whole = _SEGMENT_DATA[name][1]
    return '' if images == whole else f'{images} images are not the {whole} of {name}'


def _of_transfer(row: dict[str, Any], place: str) -> Iterator[OwnNumber]:
    dataset, names, factor = _TRANSFER[row['task']]
    config, changed = _config(row['pretraining'].partition(',')[0]), ', with options' if row.get('options') else ''
    for key, name in names.items():
        if key in row['metrics']:
            yield OwnNumber(
                config,
                (dataset, name),
                factor * row['metrics'][key],
                f'{place} (seed {row["seed"]}, {row["date"][:10]}{changed})',
            )


def _of_report(report: dict[str, Any], names: dict[str, str], dataset: str, place: str) -> Iterator[OwnNumber]:
    for key, name in names.items():
        if key in report['metrics']:
            factor = 1 if name.startswith('CR') else 100
            yield OwnNumber(_config(report['config']), (dataset, name), factor * report['metrics'][key]['value'], place)

"""Numbers measured with this package: the files of docs/results, as the tools wrote them."""
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from published_numbers import ADE, COCO, OBJECTS, ROOT, STUFF, VOC, VOC_SEG, Metric

from mmdecouple.ablation.columns import COLUMNS

RESULTS = ROOT / 'docs' / 'results'
_BOX = {'coco/bbox_mAP': 'box AP', 'coco/bbox_mAP_50': 'box AP50', 'coco/bbox_mAP_75': 'box AP75',
        'coco/segm_mAP': 'mask AP', 'coco/segm_mAP_50': 'mask AP50', 'coco/segm_mAP_75': 'mask AP75'}
# Task -> data set, key of the metric -> its name, factor.
_TRANSFER = {
    'coco-mask-rcnn-c4': (COCO, _BOX, 100), 'coco-cascade-vit': (COCO, _BOX, 100),
    'ade-upernet': (ADE, {'mIoU': 'mIoU'}, 1),
    'voc-faster-rcnn-c4': (VOC, {'pascal_voc/mAP': 'box AP', 'pascal_voc/AP50': 'box AP50',
                                 'pascal_voc/AP75': 'box AP75'}, 100)}
_OBJECTS = {'oknn_top1': 'OKNN top 1', 'oknn_top5': 'OKNN top 5', 'oknn_d_top1': 'OKNN-D top 1',
            'oknn_d_top5': 'OKNN-D top 5', COLUMNS['CR inter'].key: 'CR inter', COLUMNS['CR intra'].key: 'CR intra'}
_SEGMENTS = {'linear_miou': 'mIoU linear', 'fcn_miou': 'mIoU FCN', 'overcluster_500_majority_miou': 'mIoU K=500'}
_SEGMENT_DATA = {'voc12-val': VOC_SEG, 'coco-stuff15-val2017': STUFF}


class OwnNumber(NamedTuple):
    """One number.

    Args:
        config: Stem of the pre-training config.
        metric: Data set and name, as in the metafiles.
        value: In the unit of the published one.
        source: File and what else is needed to find it.
    """
    config: str
    metric: Metric
    value: float
    source: str


def read_own_numbers(folder: Path = RESULTS) -> list[OwnNumber]:
    """The numbers of all rows of `transfer.py` and reports of `coupling.py` and `segment.py` in a folder.

    Smoke runs are left out, as are rows of an ablation, which `read_ablation_rows` gives.

    Raises:
        ValueError: A file is none of these.
    """
    found: list[OwnNumber] = []
    for path, place, record in _records(folder):
        if 'task' in record and 'metrics' in record:
            found += _of_transfer(record, place)
        elif str(record.get('format', '')).startswith('mmdecouple-coupling'):
            found += _of_report(record, _OBJECTS, OBJECTS if record['dataset'] == 'instances_val2017' else None, place)
        elif 'val' in record and 'class_iou' in record:
            found += _of_report(record, _SEGMENTS, _SEGMENT_DATA.get(record['val']['name']), place)
        elif not {'table', 'scale', 'row'} <= record.keys():
            raise ValueError(f'{place} is no result of transfer.py, coupling.py, segment.py or ablate.py; remove it.')
    return found


def read_ablation_rows(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Raw rows of `ablate.py` in a folder, each with its `source`."""
    return [{**record, 'source': path.relative_to(folder).as_posix()} for path, _, record in _records(folder)
            if {'table', 'scale', 'row'} <= record.keys()]


def _records(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    for path in sorted((*folder.rglob('*.json'), *folder.rglob('*.jsonl'))):
        name = path.relative_to(folder).as_posix()
        texts = path.read_text().splitlines() if path.suffix == '.jsonl' else [path.read_text()]
        for number, text in enumerate(texts, 1):
            place = f'{name}, line {number}' if path.suffix == '.jsonl' else name
            try:
                record = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(f'{folder / place}: no JSON ({error}); copy the file again.') from error
            if not isinstance(record, dict):
                raise ValueError(f'{folder / place} holds a {type(record).__name__}, not a result; remove it.')
            yield path, place, record


def _of_transfer(row: dict[str, Any], place: str) -> Iterator[OwnNumber]:
    if row['task'] in _TRANSFER:
        dataset, names, factor = _TRANSFER[row['task']]
        config = re.sub(r'_\d{8}_\d{6}$', '', row['pretraining'].partition(',')[0])
        changed = ', with options' if row.get('options') else ''
        for key, name in names.items():
            if key in row['metrics']:
                yield OwnNumber(config, (dataset, name), factor * row['metrics'][key],
                                f'{place} (seed {row["seed"]}, {row["date"][:10]}{changed})')


def _of_report(report: dict[str, Any], names: dict[str, str], dataset: str | None, place: str) -> Iterator[OwnNumber]:
    if dataset is not None and report['config'] and report['checkpoint']:
        for key, name in names.items():
            if key in report['metrics']:
                factor, entry = 1 if name.startswith('CR') else 100, report['metrics'][key]
                # Small data may bear the name of the whole.
                count = f' ({name}: {entry["count"]} objects)' if 'count' in entry else ''
                yield OwnNumber(Path(report['config']).stem, (dataset, name), factor * entry['value'], place + count)

"""The fast evaluation of COCO gives pycocotools' numbers."""

import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.utils import register_all_modules
from pycocotools import mask as coco_mask

from mmdecouple.downstream import tasks
from mmdecouple.downstream.tasks import task_config, use_faster_coco_eval


def annotated(folder, rng):
    """A COCO file of 6 images with 4 objects each, and detections that are shifted copies of them."""
    images, annotations, samples = [], [], []
    for image in range(6):
        images.append(dict(id=image, file_name=f'{image}.png', height=80, width=96))
        boxes, labels, masks = [], [], []
        for _ in range(4):
            x, y, w, h = rng.integers((0, 0, 12, 12), (50, 40, 40, 36)).tolist()
            label = int(rng.integers(2))
            mask = np.zeros((80, 96), np.uint8)
            mask[y : y + h, x : x + w] = 1
            run = coco_mask.encode(np.asfortranarray(mask))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=label + 1,
                    iscrowd=0,
                    area=w * h,
                    bbox=[x, y, w, h],
                    segmentation=dict(run, counts=run['counts'].decode()),
                )
            )
            shift = int(rng.integers(-4, 5))
            boxes.append([x + shift, y, x + shift + w, y + h])
            masks.append(np.roll(mask, shift, 1))
            labels.append(label)
        samples.append(
            dict(
                img_id=image,
                ori_shape=(80, 96),
                pred_instances=dict(
                    bboxes=torch.tensor(boxes).float(),
                    labels=torch.tensor(labels),
                    scores=torch.from_numpy(rng.random(4)).float(),
                    masks=torch.from_numpy(np.stack(masks)).bool(),
                ),
            )
        )
    path = folder / 'instances.json'
    path.write_text(
        json.dumps(
            dict(images=images, annotations=annotations, categories=[dict(id=1, name='disc'), dict(id=2, name='ring')])
        )
    )
    return str(path), samples


def test_faster_coco_eval_gives_the_numbers_of_pycocotools(tmp_path):
    pytest.importorskip('faster_coco_eval')
    from mmdet.evaluation import FasterCocoMetric

    register_all_modules(init_default_scope=False)
    path, samples = annotated(tmp_path, np.random.default_rng(0))
    results = []
    for kind in (CocoMetric, FasterCocoMetric):
        metric = kind(ann_file=path, metric=['bbox', 'segm'])
        metric.dataset_meta = dict(classes=('disc', 'ring'))
        metric.process({}, samples)
        results.append(metric.evaluate(len(samples)))
    assert results[0] == pytest.approx(results[1]) and 0.2 < results[0]['coco/bbox_mAP'] < 0.95


@pytest.mark.parametrize(
    'task, smoke, kinds',
    [
        ('coco-mask-rcnn-fpn', None, ('mmdet.FasterCocoMetric', 'mmdet.FasterCocoMetric')),
        # A smoke run has no validation.
        ('coco-mask-rcnn-fpn', 'scenes', (None, 'mmdet.FasterCocoMetric')),
        ('voc-faster-rcnn-c4', None, ('mmdecouple.VOCTenMetric', 'mmdecouple.VOCTenMetric')),
        ('voc-fcn', None, ('IoUMetric', 'IoUMetric')),
    ],
)
def test_it_takes_the_place_of_coco_metric_alone_and_keeps_its_settings(task, smoke, kinds, monkeypatch):
    monkeypatch.setattr(tasks, 'find_spec', lambda name: name == 'faster_coco_eval' or None)
    before, config = task_config(task, smoke), task_config(task, smoke)
    use_faster_coco_eval(config)
    for split, kind in zip(('val', 'test'), kinds):
        key = f'{split}_evaluator'
        assert config[key] == (before[key] if before[key] is None else dict(before[key], type=kind))
    assert {key for key in before if config[key] != before[key]} <= {'val_evaluator', 'test_evaluator'}


def test_without_the_package_it_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(tasks, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='is not installed; run pip install faster-coco-eval, or omit'):
        use_faster_coco_eval(task_config('coco-mask-rcnn-fpn'))

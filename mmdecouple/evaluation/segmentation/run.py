"""From a model and two splits to a report of all measures."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from mmdecouple.evaluation.segmentation.base import Runtime, SegmentationMeasure
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.files import write_json

FORMAT = 'mmdecouple-segmentation/1'


def measure_segmentation(
    model: nn.Module,
    train: SegmentationImages,
    val: SegmentationImages,
    measures: Sequence[SegmentationMeasure],
    *,
    runtime: Runtime | None = None,
    json: str | Path | None = None,
    config: str | None = None,
    checkpoint: str | None = None,
) -> dict:
    """Runs every measure on the frozen features of a model.

    Weights, training modes and random generators are as before afterwards.

    Args:
        model: Has `data_preprocessor` and `dense_features`, as every algorithm here.
        train: What heads learn from.
        val: What is scored.
        measures: What to run.
        runtime: How to run; None: one process, silently.
        json: File of the report; None writes none.
        config: Name of the model's config, for the report.
        checkpoint: Path of its weights, for the report; None for an untrained network.

    Returns:
        The report: `metrics` name -> dict(value, std, seeds), all shares in [0, 1] (`value` is the mean of `seeds`,
        `std` their population deviation), `class_iou` name -> class -> IoU, `measures` name -> settings,
        `seconds` name -> time, `notes`.
    """
    runtime = runtime or Runtime()
    report = dict(
        format=FORMAT,
        config=config,
        checkpoint=checkpoint,
        network=getattr(model, 'measured', None),
        train=dict(name=train.source.name, images=len(train)),
        val=dict(name=val.source.name, images=len(val)),
        size=val.size,
        classes=list(val.classes),
        metrics={},
        class_iou={},
        measures={},
        seconds={},
        notes=list(dict.fromkeys((*train.source.notes, *val.source.notes))),
    )
    with evaluating(model):
        for measure in measures:
            start = time.perf_counter()
            result = measure.run(model, train, val, runtime)
            report['seconds'][measure.name] = round(time.perf_counter() - start, 2)
            report['measures'][measure.name] = asdict(measure)
            report['notes'] += result.notes
            for name, values in result.values.items():
                report['metrics'][name] = dict(value=float(np.mean(values)), std=float(np.std(values)), seeds=values)
            for name, values in result.class_iou.items():
                report['class_iou'][name] = dict(zip(val.classes, values))
    if json is not None:
        write_json(json, report)
    return report

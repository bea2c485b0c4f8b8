"""Runs segmentation measures on a model and two splits, and writes the report."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import nn

from mmdecouple.evaluation.segmentation.base import Runtime, SegmentationMeasure, dense_features
from mmdecouple.evaluation.segmentation.images import SegmentationImages, check_labelled
from mmdecouple.networks.inference import evaluating
from mmdecouple.utils.errors import UserError
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

    Weights, training modes and random generators are restored afterwards.

    Args:
        model: Module with `data_preprocessor` and `dense_features`, such as any algorithm of this package.
        train: Images on which heads are trained.
        val: Images that are scored.
        measures: Measures to run, in this order.
        runtime: Settings of execution; None for one process without progress.
        json: File of the report; None writes no file.
        config: Name of the model's config, for the report.
        checkpoint: Path of its weights, for the report; None for an untrained network.

    Returns:
        The report: `metrics` (key -> dict(value, std, seeds, low, high, count) in [0, 1], where `value` is the mean of
        `seeds`, `std` their population standard deviation, and `low` and `high` are the ends of the 95 % interval over
        `count` validation images), `resamples` (key -> value on each resample of the images, the same images in every
        report), `class_iou` (name -> class -> IoU), `measures` (name -> settings), `seconds` (name -> time) and
        `notes`.

    Raises:
        UserError: A split has no labelled pixel or is not sufficient for a measure, or a measure returns a metric
            without a `MetricSpec`.
    """
    for images in (train, val):
        check_labelled(images)
    check_measures(model, train, val, measures)
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
        resamples={},
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
                _check_described(measure, name)
                report['metrics'][name] = dict(value=float(np.mean(values)), std=float(np.std(values)), seeds=values)
                if (found := result.estimates.get(name)) is not None:
                    report['metrics'][name].update(low=found.low, high=found.high, count=found.count)
                    report['resamples'][name] = [float(f'{entry:.6g}') for entry in found.resamples]
            for name, values in result.class_iou.items():
                report['class_iou'][name] = dict(zip(val.classes, values))
            if json is not None:
                # A later measure may be refused.
                write_json(json, report)
    return report


def check_measures(
    model: nn.Module, train: SegmentationImages, val: SegmentationImages, measures: Sequence[SegmentationMeasure]
) -> None:
    """Checks that the data is sufficient for all measures, with one forward pass of one image.

    Raises:
        UserError: It is not, or the features are not finite.
    """
    with evaluating(model):
        positions = dense_features(model, val[0][0][None])[0, 0].numel()
    for measure in measures:
        measure.check(train, val, positions)


def _check_described(measure: SegmentationMeasure, key: str) -> None:
    if measure.spec_of(key) is None:
        raise UserError(
            f'{type(measure).__name__}: it returns the metric {key!r}, which has no MetricSpec; add one to the '
            'metrics of the class.'
        )

"""Measures a model: shows all probes to the network and scores their features."""

from collections.abc import Callable, Sequence

import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.dist import broadcast_object_list
from mmengine.evaluator import Evaluator
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmdecouple.evaluation.coupling_metric import CouplingMetric
from mmdecouple.evaluation.pooling import pool_regions
from mmdecouple.evaluation.probes.dataset import ProbeDataset
from mmdecouple.models.backbones import predict_maps
from mmdecouple.networks.inference import evaluating
from mmdecouple.runs.watchdog import still_moving

Progress = Callable[[int, int], None]


def measure_model(
    model: nn.Module,
    dataset: ProbeDataset,
    *,
    metric: CouplingMetric | None = None,
    batch_size: int = 32,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> dict:
    """Shows all probes to a model and returns the report of every measure.

    Training modes and all random generators are restored afterwards; weights and buffers do not change. Under
    `torch.distributed`, the probes are split over the ranks, and every rank receives the report.

    Args:
        model: Module with `test_step(batch)`, which returns a list of samples with `dense` `(C, h, w)`, such as any
            algorithm of this package.
        dataset: Probes to show.
        metric: Metric that may write the report to a file, see `CouplingMetric`; None writes no file.
        batch_size: Probes per batch on each rank.
        num_workers: Number of processes that render probes.
        progress: Called with (probes done, total probes) of this rank.

    Returns:
        The report: `metrics` (key -> dict(value, low, high, count)), `histograms`, `curves`, `values` and `groups`.

    Raises:
        UserError: A feature is not finite, or a measure returns a metric without a `MetricSpec`.
    """
    metric = metric or CouplingMetric()
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo

    def show(batch: dict) -> None:
        evaluator.process(data_samples=model.test_step(batch), data_batch=batch)

    _show_all(model, dataset, show, batch_size, num_workers, progress)
    evaluator.evaluate(len(dataset))
    return _from_main(metric.report)


def measure_layers(
    model: nn.Module,
    dataset: ProbeDataset,
    layers: Sequence[str | None],
    *,
    batch_size: int = 32,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> dict[str | None, dict]:
    """Shows all probes to a model once and returns the reports of several of its layers.

    Each report is that of `measure_model` at this layer. Of every layer, the pooled features of all probes are in
    memory, but the maps of one batch only.

    Args:
        model: Module with `data_preprocessor` and `layer_features`, such as any algorithm of this package.
        dataset: Probes to show.
        layers: Different layers, see `dense_maps`; None for the last.
        batch_size: See `measure_model`.
        num_workers: See `measure_model`.
        progress: See `measure_model`.

    Returns:
        Layer -> report.

    Raises:
        UserError: See `measure_model`.
    """
    metrics, meta = [CouplingMetric() for _ in layers], dataset.metainfo

    def read(images: Tensor, *mask: Tensor, **options: bool) -> list[tuple[Tensor, ...]]:
        return list(zip(*model.layer_features(images, layers, *mask, **options)))

    def show(batch: dict) -> None:
        images = model.data_preprocessor(batch)['inputs']
        requests = batch['data_samples']
        maps = predict_maps(read, images, requests, 'tensor')
        sizes = [tuple(image.shape[-2:]) for image in images]
        pooled = [pool_regions(found, request, size) for found, request, size in zip(maps, requests, sizes)]
        for metric, rows in zip(metrics, zip(*pooled)):
            metric.add([int(request.probe) for request in requests], rows)

    _show_all(model, dataset, show, batch_size, num_workers, progress)
    reports = {}
    for layer, metric in zip(layers, metrics):
        metric.dataset_meta = meta
        metric.evaluate(len(dataset))
        reports[layer] = _from_main(metric.report)
    return reports


def _show_all(
    model: nn.Module,
    dataset: ProbeDataset,
    show: Callable[[dict], None],
    batch_size: int,
    num_workers: int,
    progress: Progress | None,
) -> None:
    """Calls `show` with every batch of this rank, while the model is in evaluation mode."""
    # Without a seed of their own, sampler and loader would draw from the global generators.
    sampler = DefaultSampler(dataset, shuffle=False, seed=0)
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=num_workers,
        collate_fn=pseudo_collate,
        generator=torch.Generator(),
        worker_init_fn=one_thread,
    )
    done, total = 0, len(sampler)
    with evaluating(model), torch.no_grad():
        for batch in loader:
            show(batch)
            done += len(batch['inputs'])
            still_moving('a batch of the measures')
            if progress is not None:
                progress(done, total)


def _from_main(report: dict | None) -> dict:
    """Returns the report of the main process on every rank."""
    shared = [report]
    broadcast_object_list(shared)
    return shared[0]


def one_thread(worker: int) -> None:
    """Initializes a worker of a loader: with many workers, each uses one thread."""
    torch.set_num_threads(1)

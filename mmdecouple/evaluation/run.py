"""Measures a model: shows all probes to the network and scores their features."""

from collections.abc import Callable

import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.dist import broadcast_object_list
from mmengine.evaluator import Evaluator
from torch import nn
from torch.utils.data import DataLoader

from mmdecouple.evaluation.coupling_metric import CouplingMetric
from mmdecouple.evaluation.probes.dataset import ProbeDataset
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
            evaluator.process(data_samples=model.test_step(batch), data_batch=batch)
            done += len(batch['inputs'])
            still_moving('a batch of the measures')
            if progress is not None:
                progress(done, total)
    evaluator.evaluate(len(dataset))
    report = [metric.report]
    broadcast_object_list(report)
    return report[0]


def one_thread(worker: int) -> None:
    """Initializes a worker of a loader: with many workers, each uses one thread."""
    torch.set_num_threads(1)

"""Measuring a model: probes through the network, features through the measures."""

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

    Weights, buffers, training modes and all random generators are as before afterwards. Under
    `torch.distributed` the probes are split over the ranks, and every rank gets the report.

    Args:
        model: has `test_step(batch) -> list` of samples with `dense` (C, h, w), as every algorithm
            here.
        dataset: what to show.
        metric: where the report is also written, see `CouplingMetric`; None writes no file.
        batch_size: probes at a time on each rank.
        num_workers: processes that render probes.
        progress: called with (probes done, probes in all) on this rank.

    Returns:
        The report: `metrics` name -> dict(value, low, high, count), `histograms`, `curves`,
        `values`, `groups`.
    """
    metric = metric or CouplingMetric()
    evaluator = Evaluator(metric)
    evaluator.dataset_meta = dataset.metainfo
    # Both a sampler and a loader without a seed of their own would draw from the global generators.
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
    """Start of a loader's worker: one thread, as the workers are many."""
    torch.set_num_threads(1)

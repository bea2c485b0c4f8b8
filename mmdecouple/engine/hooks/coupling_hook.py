"""Measurement of coupling during pre-training."""

from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdecouple.evaluation import CouplingMetric, measure_model
from mmdecouple.evaluation.probes.suites import configured_probe
from mmdecouple.registry import DATASETS, HOOKS
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@HOOKS.register_module()
class CouplingHook(Hook):
    """Measures coupling every `interval` epochs; the training is bit-identical to a run without this hook.

    Metrics are sent to the visualizer (`coupling/...`, also in TensorBoard) at the current iteration, and written with
    confidence intervals to `<work_dir>/coupling/epoch_<n>.json`. The draws of the probes are written to
    `<work_dir>/coupling/manifest.json`, so that a resumed run uses the same ones.

    Args:
        interval: Epochs between measurements, at least 1.
        probe: Config of the `ProbeDataset`; None for that of the test data loader of the run.
        batch_size: Probes per batch on each rank, at least 1.
        num_workers: Processes that render probes, at least 0.

    Raises:
        SettingError: A value is out of range.
    """

    priority = 'LOW'

    def __init__(
        self, interval: int = 1, probe: dict | None = None, batch_size: int = 32, num_workers: int = 0
    ) -> None:
        check = Settings(self, 'custom_hooks')
        check.block('probe', probe, optional=True, typed=False)
        check.number('interval', interval, 1, whole=True)
        check.number('batch_size', batch_size, 1, whole=True)
        check.number('num_workers', num_workers, 0, whole=True)
        self.probe, self.interval = probe, interval
        self.batch_size, self.num_workers = batch_size, num_workers
        self.dataset = None

    def before_train(self, runner: Runner) -> None:
        """Draws the probes, so that unsuitable data stops the run before its first step.

        Raises:
            UserError: Neither `probe` nor the test data loader defines a `ProbeDataset`, or the data do not fit.
        """
        probe = self.probe or _tested_probe(runner)
        manifest = Path(runner.work_dir) / 'coupling' / 'manifest.json'
        self.dataset = DATASETS.build({'type': 'ProbeDataset', 'manifest': str(manifest), **probe})
        for note in self.dataset.metainfo['notes']:
            runner.logger.info(note)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measures after every `interval`-th epoch."""
        if not self.every_n_epochs(runner, self.interval):
            return
        epoch = runner.epoch + 1
        metric = CouplingMetric(
            json=Path(runner.work_dir) / 'coupling' / f'epoch_{epoch}.json',
            config=getattr(runner.cfg, 'filename', None),
            checkpoint=f'epoch {epoch} of {runner.work_dir}',
        )
        report = measure_model(
            runner.model, self.dataset, metric=metric, batch_size=self.batch_size, num_workers=self.num_workers
        )
        scalars = {f'coupling/{name}': entry['value'] for name, entry in report['metrics'].items()}
        runner.visualizer.add_scalars(scalars, step=runner.iter)
        runner.logger.info(
            f'Coupling after epoch {epoch}: '
            + ', '.join(f'{name.split("/")[1]} {value:.4f}' for name, value in scalars.items())
        )


def _tested_probe(runner: Runner) -> dict:
    try:
        return configured_probe(runner.cfg)
    except ValueError as error:
        raise UserError(
            'CouplingHook: the config has no ProbeDataset (config key test_dataloader.dataset); add one there, or '
            'as probe of the hook (config key custom_hooks).'
        ) from error

"""Segmentation from frozen features as the test loop of a config."""
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner

from mmdecouple.evaluation.segmentation import Runtime, measure_segmentation
from mmdecouple.registry import DATASETS, LOOPS, MEASURES
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings


@LOOPS.register_module()
class SegmentationLoop(BaseLoop):
    """Scores the model's frozen features: `test_evaluator` lists the measures, `test_dataloader` the validation images.

    The report goes to `<work_dir>/segmentation.json`, the numbers to the log as `segmentation/<name>`.

    Args:
        runner: The runner.
        dataloader: Config of the loader of `SegmentationImages` (validation); its batch size and workers are those of
            reading and of the forward passes.
        evaluator: Configs of segmentation measures.
        train: Config of the `SegmentationImages` that heads learn from.

    Raises:
        RuntimeError: There is more than one process.
    """

    def __init__(self, runner: Runner, dataloader: dict, evaluator: dict | list[dict], train: dict) -> None:
        super().__init__(runner, dataloader)
        if get_world_size() > 1:
            raise UserError('SegmentationLoop: run it in one process (without --launcher): heads and clusters are '
                            'made from all images at once.')
        Settings(self, 'test_cfg').block('train', train)
        self.measures = [MEASURES.build(cfg) for cfg in ([evaluator] if isinstance(evaluator, dict) else evaluator)]
        self.train = DATASETS.build(train)

    def run(self) -> dict[str, Any]:
        """Runs all measures; returns their numbers by name."""
        runner = self.runner
        runner.call_hook('before_test')
        runner.call_hook('before_test_epoch')
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        loader = self.dataloader
        report = measure_segmentation(
            model.eval(), self.train, loader.dataset, self.measures, json=Path(runner.work_dir) / 'segmentation.json',
            runtime=Runtime(loader.batch_size, loader.num_workers, self._log), config=runner.cfg.filename,
            checkpoint=runner.cfg.get('load_from'))
        for note in report['notes']:
            runner.logger.info(note)
        metrics = {f'segmentation/{name}': entry['value'] for name, entry in report['metrics'].items()}
        runner.call_hook('after_test_epoch', metrics=metrics)
        runner.call_hook('after_test')
        return metrics

    def _log(self, stage: str, done: int, total: int) -> None:
        if done == total:
            self.runner.logger.info(f'{stage} {done}/{total}')

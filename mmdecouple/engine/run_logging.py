"""Logger, curves and log values of a run."""

from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import LogProcessor, Runner
from mmengine.visualization import Visualizer

from mmdecouple.runs.curves import continue_run
from mmdecouple.runs.loggers import keep_lines, start_backends, steady_handlers


class RunLogging(Runner):
    """Runner whose logging does not end a training and continues after a resume.

    Attributes:
        _record: Record of the run (`record_of`) with its id `run`; None if it does not train.
        _resumed_iterations: Number of iterations that the resumed checkpoint has trained; 0 for a new run.
    """

    _record: dict[str, Any] | None = None
    _resumed_iterations = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._early_lines = keep_lines()
        super().__init__(*args, **kwargs)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Builds the logger and passes earlier messages to it; errors of writing the log do not end the training."""
        logger = super().build_logger(*args, **kwargs)
        steady_handlers(logger)
        self._early_lines.hand_over(logger)
        return logger

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """Builds the visualizer and starts its backends; see `start_backends` for the handling of their errors."""
        visualizer = super().build_visualizer(visualizer)
        if is_main_process():
            if self._record is not None:
                run = self._record['run']
                continue_run(visualizer._vis_backends, self.work_dir, run, self._resumed_iterations)
            start_backends(visualizer._vis_backends)
        return visualizer

    def build_log_processor(self, log_processor: LogProcessor | dict) -> LogProcessor:
        """Builds the log processor, a `RawLogProcessor` unless the config names another class."""
        if isinstance(log_processor, dict) and log_processor.get('type') in (None, 'LogProcessor'):
            log_processor = dict(log_processor, type='RawLogProcessor')
        return super().build_log_processor(log_processor)

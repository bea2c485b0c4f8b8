"""Visualization backends, with the names and arguments of mmengine's, that continue the curves of a resumed run."""

import os
import os.path as osp
from typing import Any

from mmengine.visualization import MLflowVisBackend as MLflow
from mmengine.visualization import TensorboardVisBackend as Tensorboard
from mmengine.visualization import WandbVisBackend as Wandb
from mmengine.visualization.vis_backend import BaseVisBackend

from mmdecouple.registry import VISBACKENDS

_RUN_TAG = 'mmdecouple.run'


def continue_run(backends: dict[str, BaseVisBackend], folder: str, run: str, iteration: int) -> None:
    """Tells the backends which run they record, before they start.

    Args:
        backends: Name -> backend of the visualizer.
        folder: Work dir of the run.
        run: Id of the run, the same after a resume.
        iteration: Number of iterations that the resumed checkpoint has trained; 0 for a new run.
    """
    for backend in backends.values():
        if isinstance(backend, (TensorboardVisBackend, WandbVisBackend, MLflowVisBackend)):
            backend.continue_run(folder, run, iteration)


@VISBACKENDS.register_module()
class TensorboardVisBackend(Tensorboard):
    """TensorBoard's files of all starts of a run in one folder, `<work_dir>/tensorboard`.

    TensorBoard discards what an earlier start recorded after the iteration from which the run was resumed.
    """

    _purge_step: int | None = None

    def continue_run(self, folder: str, run: str, iteration: int) -> None:
        """See `continue_run` of this module."""
        self._save_dir = osp.join(folder, 'tensorboard')
        self._purge_step = iteration + 1 if iteration else None

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._tensorboard = SummaryWriter(self._save_dir, purge_step=self._purge_step)
        # A writer that is set up again after a failure continues this start.
        self._purge_step = None


@VISBACKENDS.register_module()
class WandbVisBackend(Wandb):
    """Run of Weights & Biases with the id of the training run, whose steps are iterations.

    The service does not replace points: it keeps those of an earlier start for iterations that are trained again.
    """

    _init_kwargs: dict | None

    def continue_run(self, folder: str, run: str, iteration: int) -> None:
        """See `continue_run` of this module."""
        # The library adds a folder `wandb`.
        self._save_dir = folder
        self._init_kwargs = dict(
            dict(dir=self._save_dir, id=run, name=osp.basename(osp.abspath(folder)), resume='allow'),
            **(self._init_kwargs or {}),
        )

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Records a scalar at an iteration."""
        self.add_scalars({name: value}, step)

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs: Any) -> None:
        """Records scalars at an iteration."""
        self.experiment.log(scalar_dict, step=step, commit=self._commit)

    def close(self) -> None:
        """Ends the run of the service."""
        if hasattr(self, '_wandb'):
            self._wandb.finish()


@VISBACKENDS.register_module()
class MLflowVisBackend(MLflow):
    """Run of MLflow with the id of the training run as a tag, by which a resume finds it.

    Without `tracking_uri` and without the environment variable `MLFLOW_TRACKING_URI`, runs are stored in
    `<work_dir>/mlflow.db`. MLflow does not replace points: an iteration that is trained again has two points with the
    same step.
    """

    _run = ''
    _exp_name: str | None
    _run_name: str | None
    _tags: dict | None
    _params: dict | None
    _tracking_uri: str | None
    _artifact_location: str | None

    def continue_run(self, folder: str, run: str, iteration: int) -> None:
        """See `continue_run` of this module."""
        self._run = run
        # MLflow's experiment `Default` stores files below the current folder.
        self._exp_name = self._exp_name or 'mmdecouple'
        if self._tracking_uri is None:
            # MLflow writes no plain files by default any more.
            stored = osp.abspath(folder)
            self._tracking_uri = os.environ.get('MLFLOW_TRACKING_URI', f'sqlite:///{stored}/mlflow.db')
            if 'MLFLOW_TRACKING_URI' not in os.environ and self._artifact_location is None:
                self._artifact_location = f'file://{stored}/mlflow'
        self._run_name = self._run_name or osp.basename(osp.abspath(folder))

    def _init_env(self) -> None:
        given = self._run_name, self._tags, self._params
        # mmengine would start a run of its own to record them.
        self._run_name = self._tags = self._params = None
        super()._init_env()
        self._run_name, self._tags, self._params = given
        found = self._mlflow.search_runs(
            filter_string=f"tags.`{_RUN_TAG}` = '{self._run}'", output_format='list', max_results=1
        )
        self._continued = bool(found)
        if found:
            self._mlflow.start_run(run_id=found[0].info.run_id)
            return
        self._mlflow.start_run(run_name=self._run_name, tags={_RUN_TAG: self._run, **(self._tags or {})})
        if self._params:
            self._mlflow.log_params(self._params)

    def add_config(self, config: Any, **kwargs: Any) -> None:
        """Records the config; MLflow does not change the parameters of a run that is continued."""
        self._mlflow = self.experiment
        if self._continued:
            self.cfg = config
            self._mlflow.log_text(config.pretty_text, 'config.py')
        else:
            super().add_config(config, **kwargs)

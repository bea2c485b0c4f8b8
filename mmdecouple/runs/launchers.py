"""Command lines that run a module of this package in separate processes."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_NODE = 8  # GPUs of a machine


@dataclass(frozen=True)
class Launch:
    """How the processes of a run are started.

    Attributes:
        launcher: `none` for a single process, `pytorch` for processes on this machine, or `slurm` for processes on
            allocated machines.
        gpus: Number of processes that the launcher starts.
        partition: Partition of Slurm.
    """

    launcher: str = 'none'
    gpus: int = 1
    partition: str | None = None

    def command(self, module: str, arguments: Sequence[str], job_name: str | None = None) -> list[str]:
        """Returns the command line of `python -m MODULE ARGUMENTS`.

        Args:
            module: Name of the module, such as `mmdecouple.commands.train`.
            arguments: Arguments of the module; `--launcher` is appended if a launcher is used.
            job_name: Name of the job in Slurm's queue.
        """
        command = ['-m', module, *arguments]
        if self.launcher == 'none':
            return [sys.executable, *command]
        command += ['--launcher', self.launcher]
        if self.launcher == 'pytorch':
            torchrun = ['-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={self.gpus}']
            return [sys.executable, *torchrun, *command]
        node = min(self.gpus, int(os.environ.get('GPUS_PER_NODE', _NODE)))
        return [
            'srun',
            '-p',
            self.partition or '',
            f'--job-name={job_name}',
            f'--gres=gpu:{node}',
            f'--ntasks={self.gpus}',
            f'--ntasks-per-node={node}',
            f'--cpus-per-task={os.environ.get("CPUS_PER_TASK", 5)}',
            '--kill-on-bad-exit=1',
            *os.environ.get('SRUN_ARGS', '').split(),
            sys.executable,
            '-u',
            *command,
        ]


ALONE = Launch()

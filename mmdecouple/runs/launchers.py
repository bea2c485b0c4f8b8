"""Command lines that run a module of this package in separate processes."""

import os
import sys
from collections.abc import Sequence

_NODE = 8  # GPUs of a machine


def launch_command(
    module: str,
    arguments: Sequence[str],
    launcher: str = 'none',
    processes: int = 1,
    partition: str | None = None,
    job_name: str | None = None,
) -> list[str]:
    """Returns the command line of `python -m MODULE ARGUMENTS`, for a single process or for one process per device.

    Args:
        module: Name of the module, such as `mmdecouple.runs.train`.
        arguments: Arguments of the module; `--launcher` is appended if a launcher is used.
        launcher: `none` for a single process, `pytorch` for processes on this machine, or `slurm` for processes on
            allocated machines.
        processes: Number of processes that the launcher starts.
        partition: Partition of Slurm.
        job_name: Name of the job in Slurm's queue.
    """
    command = ['-m', module, *arguments]
    if launcher == 'none':
        return [sys.executable, *command]
    command += ['--launcher', launcher]
    if launcher == 'pytorch':
        return [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            f'--nproc_per_node={processes}',
            *command,
        ]
    node = min(processes, int(os.environ.get('GPUS_PER_NODE', _NODE)))
    return [
        'srun',
        '-p',
        partition or '',
        f'--job-name={job_name}',
        f'--gres=gpu:{node}',
        f'--ntasks={processes}',
        f'--ntasks-per-node={node}',
        f'--cpus-per-task={os.environ.get("CPUS_PER_TASK", 5)}',
        '--kill-on-bad-exit=1',
        *os.environ.get('SRUN_ARGS', '').split(),
        sys.executable,
        '-u',
        *command,
    ]

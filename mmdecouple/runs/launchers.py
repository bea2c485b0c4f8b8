"""Commands that run a module of this package in processes of its own."""

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
    """The command line of `python -m MODULE ARGUMENTS`, alone or once for each device.

    Args:
        module: Such as `mmdecouple.runs.train`.
        arguments: Of the module; `--launcher` is added where there is one.
        launcher: `none`; `pytorch`, which starts processes on this machine; or `slurm`, which asks for machines.
        processes: For a launcher.
        partition: Of Slurm.
        job_name: In Slurm's queue.
    """
    words = ['-m', module, *arguments]
    if launcher == 'none':
        return [sys.executable, *words]
    words += ['--launcher', launcher]
    if launcher == 'pytorch':
        return [sys.executable, '-m', 'torch.distributed.run', '--standalone', f'--nproc_per_node={processes}', *words]
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
        *words,
    ]

"""The processes of a run find each other: under torchrun, Slurm or MPI, with CUDA devices or without."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.config import Config

from mmdecouple.utils.errors import UserError

_TORCHRUN = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
# What a launcher calls the three.
_NAMES = {
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}
_FIRST_PORT, _PORTS = 20000, 10000


def join_processes(config: Config) -> None:
    """Makes every launcher look like torchrun, and joins the processes with gloo where there is no CUDA device.

    mmengine's own launchers name a CUDA device for every process, and its launcher for Slurm meets at one fixed port,
    at which two jobs on one machine collide. Here the port depends on the job step.

    Args:
        config: Its `launcher` becomes `pytorch` if it was `slurm` or `mpi`; without CUDA, `model_wrapper_cfg` is set
            so that no device is named.

    Raises:
        UserError: The variables of the launcher are missing: the process was not started by it.
    """
    import torch

    launcher = config.get('launcher', 'none')
    if launcher in _NAMES:
        os.environ.update(torchrun_variables(launcher, os.environ, torch.cuda.device_count()))
        config.launcher = 'pytorch'
    if config.get('launcher', 'none') == 'none' or torch.cuda.is_available():
        return
    torch.distributed.init_process_group('gloo')
    unused = config.get('find_unused_parameters', False)
    default = dict(type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=unused)
    wrapper = dict(config.get('model_wrapper_cfg') or default)
    if wrapper.get('type', default['type']) == default['type']:
        config.model_wrapper_cfg = dict(wrapper, device_ids=None)


@contextmanager
def naming_port() -> Iterator[None]:
    """Context in which a rendezvous port that another program uses is an error of the user."""
    from mmdecouple.utils.compatibility import DistNetworkError

    try:
        yield
    except DistNetworkError as error:
        if not re.search('EADDRINUSE|Address already in use', str(error)):
            raise
        port = os.environ.get('MASTER_PORT')
        raise UserError(f'Port {port} of this host is already in use; set MASTER_PORT to a free port.') from error


def torchrun_variables(launcher: str, environment: Mapping[str, str], devices: int) -> dict[str, str]:
    """What torchrun would set, from the variables of another launcher.

    Args:
        launcher: `slurm` or `mpi`.
        environment: Of this process.
        devices: CUDA devices that it sees: one, if the launcher binds each process to its own.

    Raises:
        UserError: A variable is missing.
    """
    missing = [name for name in _NAMES[launcher] if name not in environment]
    if missing:
        program = 'srun' if launcher == 'slurm' else 'mpirun'
        raise UserError(
            f'--launcher {launcher}: {missing[0]} is not set; start with {program}, or leave out --launcher.'
        )
    found = dict(zip(_TORCHRUN, (environment[name] for name in _NAMES[launcher])))
    if devices:
        found['LOCAL_RANK'] = str(int(found['LOCAL_RANK']) % devices)
    if launcher == 'slurm':
        found['MASTER_ADDR'] = environment.get('MASTER_ADDR') or _first_host(environment['SLURM_NODELIST'])
        found['MASTER_PORT'] = environment.get('MASTER_PORT') or str(_port(environment))
    elif 'MASTER_ADDR' not in environment:
        if found['WORLD_SIZE'] != environment.get('OMPI_COMM_WORLD_LOCAL_SIZE'):
            raise UserError('--launcher mpi: set MASTER_ADDR to the host of rank 0 (mpirun -x MASTER_ADDR=...).')
        found['MASTER_ADDR'] = '127.0.0.1'
    found.setdefault('MASTER_PORT', environment.get('MASTER_PORT', '29500'))
    return found


def first_start() -> float | None:
    """When the command was started that torchrun has restarted this process for, in seconds since the epoch.

    Returns:
        None in the first life. The time is that of `tools/dist_train.sh`; 0 if torchrun was called without it.
    """
    if int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) == 0:
        return None
    return float(os.environ.get('MMDECOUPLE_STARTED', 0))


def _port(environment: Mapping[str, str]) -> int:
    step = environment.get('SLURM_STEP_ID', environment.get('SLURM_STEPID', '0'))
    return _FIRST_PORT + (int(environment.get('SLURM_JOB_ID', 0)) * 16 + int(step)) % _PORTS


def _first_host(nodes: str) -> str:
    """First machine of a list in Slurm's notation, such as `gpu[01-04]`."""
    if '[' not in nodes and ',' not in nodes:
        return nodes
    try:
        answer = subprocess.run(['scontrol', 'show', 'hostnames', nodes], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f'--launcher slurm: scontrol cannot list the hosts of {nodes} ({error}); set MASTER_ADDR to the first one.'
        ) from None
    return answer.stdout.split()[0]

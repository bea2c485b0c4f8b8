"""A real Slurm of one machine for the tests: munge, slurmctld and slurmd on the loopback device, in a folder."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ('munged', 'slurmctld', 'slurmd', 'srun', 'sbatch', 'scontrol', 'squeue', 'scancel', 'sinfo')

# One node that claims two GPUs: Slurm counts device files, whatever they are.
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmUser=root
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=60
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str | None:
    """Why there can be no Slurm here, or None."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f'{missing[0]} is not installed (Debian: apt-get install slurm-wlm munge)'
    return None if os.getuid() == 0 else 'Slurm needs root here'


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    with_sockets = [socket.socket() for _ in range(count)]
    for one in with_sockets:
        one.bind(('127.0.0.1', 0))
    ports = [one.getsockname()[1] for one in with_sockets]
    for one in with_sockets:
        one.close()
    return ports


@contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Starts the three daemons and stops them by their pids.

    Args:
        folder: Empty; takes configuration, sockets, state and logs.

    Yields:
        The environment in which `srun` and the others find this Slurm.
    """
    host = socket.gethostname().partition('.')[0]
    for name in ('spool', 'state'):
        (folder / name).mkdir()
    folder.chmod(0o755)
    key = folder / 'munge.key'
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    (folder / 'slurm.conf').write_text(CONFIG.format(host=host, folder=folder, ports=free_ports(2)))
    (folder / 'gres.conf').write_text(f'NodeName={host} Name=gpu File=/dev/null,/dev/zero\n')
    own = {name: value for name, value in os.environ.items() if not name.startswith('SLURM')}
    environment = own | dict(SLURM_CONF=str(folder / 'slurm.conf'))
    munge = ['munged', '--force', f'--key-file={key}']
    munge += [
        f'--{what}={folder}/munge{ending}'
        for what, ending in [('socket', '.sock'), ('pid-file', 'd.pid'), ('log-file', '.log'), ('seed-file', '.seed')]
    ]
    try:
        for command in (munge, ['slurmctld'], ['slurmd']):
            subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=30)
        deadline = time.monotonic() + 30
        while 'idle' not in ask(environment, 'sinfo', '-h', '-o', '%t'):
            assert time.monotonic() < deadline, (folder / 'slurmctld.log').read_text()[-2000:]
            time.sleep(0.1)
        yield environment
    finally:
        if (folder / 'slurmctld.pid').exists():
            ask(environment, 'scancel', '--full', '--user=root')
        for daemon in ('slurmd', 'slurmctld', 'munged'):
            _stop(folder / f'{daemon}.pid')


def ask(environment: dict[str, str], *command: str) -> str:
    """Output of a client command; empty if it failed."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout


def report(environment: dict[str, str]) -> str:
    """The jobs as the controller sees them, and the ends of the daemons' logs."""
    folder = Path(environment['SLURM_CONF']).parent
    logs = [(folder / f'{name}.log').read_text()[-2000:] for name in ('slurmctld', 'slurmd')]
    return '\n'.join([ask(environment, 'scontrol', 'show', 'job'), ask(environment, 'scontrol', 'show', 'node'), *logs])


def _stop(path: Path) -> None:
    if not path.exists():
        return
    try:
        pid = int(path.read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, ValueError):
        pass

"""The processes of a run, from the variables of the launcher."""

import os
import socket
import subprocess
import sys

import pytest

from mmdecouple.runs.ranks import torchrun_variables
from mmdecouple.utils.errors import UserError
from tests.integration.runs import ROOT
from tests.test_tools.conftest import TOY_CONFIG, TOY_MODULE

SLURM = dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_LOCALID='1', SLURM_NODELIST='one', SLURM_JOB_ID='7')
CHANGES = (dict(SLURM_STEP_ID='1'), dict(SLURM_JOB_ID='8'))
MPI = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_RANK='1')


def test_the_variables_of_slurm_become_those_of_torchrun():
    found = torchrun_variables('slurm', SLURM, 2)
    port = found.pop('MASTER_PORT')
    assert found == dict(RANK='3', WORLD_SIZE='4', LOCAL_RANK='1', MASTER_ADDR='one')
    # Each process sees its own device only, as with `--gpus-per-task=1`.
    assert torchrun_variables('slurm', SLURM, 1)['LOCAL_RANK'] == '0'
    # Steps of one job, and two jobs, must not meet at the same port.
    others = [torchrun_variables('slurm', {**SLURM, **change}, 2) for change in CHANGES]
    assert len({port, *(other['MASTER_PORT'] for other in others)}) == 3
    assert torchrun_variables('slurm', {**SLURM, 'MASTER_PORT': '5'}, 2)['MASTER_PORT'] == '5'


def test_the_variables_of_mpi_become_those_of_torchrun():
    found = torchrun_variables('mpi', {**MPI, 'OMPI_COMM_WORLD_LOCAL_SIZE': '2'}, 0)
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='29500')
    assert found == dict(RANK='1', WORLD_SIZE='2', LOCAL_RANK='1', **address)
    with pytest.raises(UserError, match='MASTER_ADDR to the host of rank 0'):
        torchrun_variables('mpi', {**MPI, 'OMPI_COMM_WORLD_LOCAL_SIZE': '1'}, 0)


@pytest.mark.parametrize('launcher, program', [('slurm', 'srun'), ('mpi', 'mpirun')])
def test_a_process_that_the_launcher_did_not_start_is_refused(launcher, program):
    with pytest.raises(UserError, match=f'is not set; start with {program}'):
        torchrun_variables(launcher, {}, 0)


def test_a_port_that_is_in_use_is_one_line(tmp_path):
    (tmp_path / 'toy_module.py').write_text(TOY_MODULE)
    (tmp_path / 'toy_line.py').write_text(TOY_CONFIG)
    with socket.socket() as taken:
        taken.bind(('0.0.0.0', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ranks = dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        command = [sys.executable, ROOT / 'tools/train.py', 'toy_line.py', '--device', 'cpu', '--launcher', 'pytorch']
        environment = os.environ | ranks | dict(PYTHONPATH=f'{ROOT}:{tmp_path}')
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and 'Traceback' not in done.stderr, done.stderr
    assert f'Port {port} of this host is already in use; set MASTER_PORT' in done.stderr

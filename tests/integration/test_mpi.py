"""Training through Open MPI, on two CPU processes."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from mmdecouple.engine import read_checkpoint
from tests.integration.runs import ROOT
from tests.test_tools.conftest import TOY_CONFIG, TOY_MODULE

# A container has one user and may have fewer cores than processes.
MPIRUN = ('mpirun', '--allow-run-as-root', '--oversubscribe', '-np', '2')


@pytest.mark.skipif(shutil.which('mpirun') is None, reason='mpirun is not installed (Debian: openmpi-bin)')
def test_two_processes_of_mpi_take_the_steps_of_one_process(tmp_path):
    (tmp_path / 'toy_module.py').write_text(TOY_MODULE)
    (tmp_path / 'toy_line.py').write_text(TOY_CONFIG)
    environment = os.environ | dict(PYTHONPATH=f'{ROOT}:{tmp_path}', OMP_NUM_THREADS='1')
    train = [sys.executable, ROOT / 'tools/train.py', 'toy_line.py', '--device', 'cpu', '--work-dir']
    for words in (
        [*MPIRUN, *train, 'two', '--launcher', 'mpi'],
        [*train, 'one', '--cfg-options', 'train_dataloader.batch_size=4'],
    ):
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr[-3000:]
    two, one = (read_checkpoint(str(tmp_path / name / 'epoch_1.pth'))['state_dict'] for name in ('two', 'one'))
    torch.testing.assert_close(two, one)

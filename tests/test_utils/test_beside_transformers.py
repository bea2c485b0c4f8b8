"""Import of the networks beside transformers 5, which mmpretrain's vision-language models do not support."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
@pytest.mark.parametrize('version', ['4.53.0', '5.0.0'])
def test_only_versions_that_mmpretrain_does_not_support_disable_its_multimodal_models(version, tmp_path):
    found = tmp_path / f'transformers-{version}.dist-info'
    found.mkdir()
    (found / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n')
    code = 'import mmdecouple.utils.beside_transformers, mmpretrain.utils.dependency as d; print(d.WITH_MULTIMODAL)\n'
    if version.startswith('5'):
        code += 'import mmdecouple.models'
    env = dict(os.environ, PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    done = subprocess.run([sys.executable, '-c', code], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(version.startswith('4'))

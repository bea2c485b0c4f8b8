"""Every `mim` verb works under the short name, from the checkout and from a wheel elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmdecouple.utils.versions import stack

from .conftest import ROOT, run

MIM = 'import sys; from mim.cli import cli; sys.argv[0] = "mim"; cli()'


def site_packages(python):
    code = 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
    return Path(subprocess.check_output([python, '-c', code], text=True).strip())


def has_editable_install():
    """Of pip (PEP 660), or of setuptools before 64."""
    packages = site_packages(sys.executable)
    return any(packages.glob('__editable__*mmdecouple*')) or (packages / 'mmdecouple.egg-link').is_file()


@pytest.fixture(scope='module')
def wheel_python(tmp_path_factory):
    """Python of an environment with this project from a wheel and everything else by links."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation', '-w', folder, ROOT],
        check=True,
    )
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder / 'env'], check=True)
    python = folder / 'env' / 'bin' / 'python'
    others = folder / 'others'
    others.mkdir()
    for entry in site_packages(sys.executable).iterdir():
        if 'mmdecouple' not in entry.name:
            (others / entry.name).symlink_to(entry)
    (site_packages(python) / 'others.pth').write_text(f'{others}\n')
    subprocess.run(
        [
            sys.executable,
            '-m',
            'pip',
            '--python',
            python,
            'install',
            '-q',
            '--no-deps',
            '--no-index',
            next(folder.glob('mmdecouple-*.whl')),
        ],
        check=True,
    )
    return python


@pytest.fixture(params=['checkout', 'wheel'])
def mim(request, toy, tmp_path):
    """Function that runs one `mim` command in an empty folder and returns its output."""
    if request.param == 'wheel':
        python = request.getfixturevalue('wheel_python')
    elif has_editable_install():
        python = Path(sys.executable)
    else:
        pytest.skip('this environment has no editable install of the checkout')
    if request.param == 'checkout' and stack() == 'onedl' and (ROOT / 'mmdecouple' / '.mim').exists():
        pytest.skip('onedl-mim finds configs twice in a checkout that is also installed with the original packages')

    def mim_command(*arguments, ok=True):
        return run([python, '-c', MIM, *arguments], toy_folder=toy, cwd=tmp_path, ok=ok)

    mim_command.folder = tmp_path
    mim_command.config = toy / 'toy_line.py'
    return mim_command


def test_a_wheel_brings_its_own_package(wheel_python, toy, tmp_path):
    program = 'import mmdecouple; print(mmdecouple.__file__)'
    origin = run([wheel_python, '-c', program], toy_folder=toy, cwd=tmp_path)
    assert Path(origin.strip()).parents[1] == site_packages(wheel_python)


def test_both_mims_find_the_files_of_a_wheel_whatever_else_it_installs(wheel_python):
    """One looks in the package, the other in the folder of the first installed file, which may be a script's."""
    packages = site_packages(wheel_python)
    [record] = packages.glob('mmdecouple-*.dist-info/RECORD')
    assert '../bin/mmdecouple,' in record.read_text()
    for folder in (packages / 'mmdecouple', packages / record.read_text().split('/')[0]):
        assert (folder / '.mim' / 'model-index.yml').is_file() and (folder / '.mim' / 'tools' / 'train.py').is_file()
        assert (folder / '.mim' / 'configs' / 'densecl' / 'densecl-d_r50_8xb32-800e_coco.py').is_file()


def test_train_then_test_measures_the_trained_checkpoint(mim):
    mim('train', 'mmdecouple', mim.config, '--work-dir', 'run')
    mim('test', 'mmdecouple', mim.config, '--checkpoint', 'run/epoch_1.pth', '--work-dir', 'measured')
    metrics = json.loads((mim.folder / 'measured' / 'metrics.json').read_text())
    assert metrics['count'] == 8 and metrics['error'] > 0


def test_a_config_of_the_package_is_found_by_its_bare_name(mim):
    name = 'densecl-d_r50_8xb32-200e_coco.py'
    output = mim('train', 'mmdecouple', name, '--resume', 'absent.pth', ok=False)
    assert 'we find multiple' not in output
    assert 'checkpoint absent.pth does not exist' in output


def test_run_finds_a_tool_by_name_and_resolves_an_own_base(mim):
    (mim.folder / 'child.py').write_text("_base_ = 'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py'\n")
    output = mim('run', 'mmdecouple', 'print_config', 'child.py')
    assert "type='DenseCL'" in output


def test_no_two_tools_share_the_name_by_which_mim_runs_them():
    names = [path.stem for path in (ROOT / 'tools').rglob('*') if path.suffix in ('.py', '.sh')]
    assert len(names) > 20 and sorted(names) == sorted(set(names))


@pytest.mark.slow
def test_gridsearch_runs_every_value(mim):
    mim(
        'gridsearch',
        'mmdecouple',
        mim.config,
        '--work-dir',
        'grid',
        '--search-args',
        '--optim_wrapper.optimizer.lr 0.001 0.002',
    )
    assert len(list(mim.folder.glob('grid_search_*/epoch_1.pth'))) == 2


def test_search_lists_the_published_numbers(mim):
    mim('search', 'mmdecouple', '--model', 'densecl-d', '--json', 'found.json')
    found = json.loads((mim.folder / 'found.json').read_text())
    assert found['coco val2017/box_ap']['densecl-d_r50_8xb32-800e_coco'] == 39.3


def test_download_writes_the_flattened_config(mim):
    mim('download', 'mmdecouple', '--config', 'densecl-d_r50_8xb32-800e_coco', '--dest', 'got')
    text = (mim.folder / 'got' / 'densecl-d_r50_8xb32-800e_coco.py').read_text()
    assert '_base_' not in text and "type='DecouplingBranch'" in text

"""What `mim` and set-up rely on in the files at the repository's root."""

import os
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement

from mmdecouple.utils.errors import UserError
from mmdecouple.utils.versions import stack
from tests.classic_skips import SKIPS

from .conftest import CHECKOUT_TOOLS, ROOT

CONFIGS = ROOT / 'configs'
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
METAFILES = [yaml.safe_load((ROOT / path).read_text()) for path in INDEX['Import']]
MODELS = [model for metafile in METAFILES for model in metafile['Models']]


def test_the_index_imports_every_metafile():
    present = [str(path.relative_to(ROOT)) for path in CONFIGS.rglob('metafile.yml')]
    assert sorted(INDEX['Import']) == sorted(present)


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_a_listed_model_is_lower_case_and_named_like_its_config(model):
    assert model['Name'] == model['Name'].lower() == Path(model['Config']).stem
    assert (ROOT / model['Config']).is_file()


@pytest.mark.parametrize('model', MODELS, ids=lambda model: model['Name'])
def test_a_result_says_who_measured_it(model):
    if model.get('Results'):
        assert model['Metadata']['Origin of Results'].startswith(('published', 'measured'))


def test_every_collection_is_defined():
    known = {collection['Name'] for metafile in METAFILES for collection in metafile['Collections']}
    assert {model['In Collection'] for model in MODELS} <= known


def test_config_names_are_unique_so_that_mim_finds_them():
    counts = Counter(path.name for path in CONFIGS.rglob('*.py'))
    assert [name for name, count in counts.items() if count > 1] == []


LISTS = {'onedl': 'constraints.txt', 'classic': 'constraints-classic.txt'}


@pytest.fixture(scope='module')
def constraints():
    return SimpleNamespace(**runpy.run_path(str(CHECKOUT_TOOLS / 'misc' / 'constraints.py')))


def requirements_of(*names):
    lines = [line for name in names for line in (ROOT / 'requirements' / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


@pytest.mark.parametrize('stack', LISTS)
def test_the_list_of_a_stack_has_all_that_the_requirements_ask_for_and_one_opencv(stack):
    versions = {item.name: next(iter(item.specifier)).version for item in requirements_of(LISTS[stack])}
    other = next(f'{name}.txt' for name in LISTS if name != stack)
    files = {path.name for path in (ROOT / 'requirements').glob('*.txt')} - {*LISTS.values(), other}
    newer = (
        {'docs.txt', 'export.txt', 'onnx', 'onnxruntime', 'onnxscript', 'transformers'} if stack == 'classic' else set()
    )
    asked = [item for item in requirements_of(*sorted(files - newer)) if item.name not in newer]
    listed = {item: versions.get(item.name, '0') for item in asked}
    assert [str(item) for item in asked if not item.specifier.contains(listed[item], prereleases=True)] == []
    assert [name for name in versions if 'opencv' in name] == ['opencv-python-headless']
    assert {name for name in versions if name.startswith(('mm', 'onedl'))} == {
        item.name for item in requirements_of(f'{stack}.txt') if 'mm' in item.name or 'onedl' in item.name
    } - {'openmim'}


@pytest.mark.skipif(not Path(sys.prefix, '.mmdecouple-setup').is_file(), reason='not an environment of the set-up')
def test_the_list_is_what_this_environment_needs(constraints):
    needed = constraints.installed_closure(constraints.stated(stack()))
    assert {item.name for item in requirements_of(LISTS[stack()])} == set(needed)


def test_a_missing_distribution_is_named_with_what_asks_for_it(constraints):
    with pytest.raises(UserError, match='no-such-thing, required by requirements/, is not installed here'):
        constraints.installed_closure([Requirement('no-such-thing>=1')])


def test_what_the_classic_stack_skips_exists():
    for name in (name for names in SKIPS.values() for name in names):
        path, _, test = name.partition('::')
        assert f'def {test.partition("[")[0]}(' in (ROOT / path).read_text()


SCRIPTS = [*sorted(ROOT.glob('tools/**/*.sh')), ROOT / '.ci' / 'run']


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse_and_can_be_executed(script):
    subprocess.run(['bash', '-n', script], check=True)
    assert os.access(script, os.X_OK)


def test_setup_help_names_every_variable_that_it_reads_and_nothing_is_done_for_an_unknown_word():
    script = ROOT / 'tools' / 'misc' / 'setup.sh'
    told = subprocess.run(['bash', script, '--help'], check=True, capture_output=True, text=True).stdout
    read = re.findall(r'\$\{(\w+)(?::-|\+x)', script.read_text())
    # These belong to the compiler, CUDA, pyenv and the terminal.
    others = {'CXX', 'CUDA_VISIBLE_DEVICES', 'PYENV_ROOT', 'HOME', 'COLUMNS'}
    assert {name for name in read if name.isupper()} - others == set(re.findall(r'^  ([A-Z_]+)  ', told, re.M))
    end = subprocess.run(['bash', script, 'now'], capture_output=True, text=True)
    assert end.returncode == 1 and not end.stdout and end.stderr.count('\n') == 1 and ' now;' in end.stderr


def test_a_source_distribution_holds_every_file_that_its_readme_shows_or_links(tmp_path):
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'egg_info', '--egg-base', tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    packed = (tmp_path / 'mmdecouple.egg-info' / 'SOURCES.txt').read_text().splitlines()
    named = re.findall(r'\]\((?!https?:|#)([^)#]+)', (ROOT / 'README.md').read_text())
    assert 'docs/images/demo_metrics.png' in named
    assert [name for name in named if not any(path == name or path.startswith(f'{name}/') for path in packed)] == []


def test_every_path_that_a_page_names_exists():
    missing = []
    for page in (ROOT / 'README.md', ROOT / 'SECURITY.md', *(ROOT / 'docs').glob('*.md')):
        text = page.read_text()
        named = re.findall(r'`((?:mmdecouple|tools|tests|configs|docs|examples|requirements)/[\w./-]+?)`', text)
        named += [f'tests/{name}' for name in re.findall(r'`(test_\w+/test_\w+\.py|integration/\w+\.py)`', text)]
        missing += [f'{page.name}: {name}' for name in named if not (ROOT / name).exists()]
    assert missing == []

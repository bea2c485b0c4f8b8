"""Pages can be followed: their Python runs, and their commands name real tools, options, choices, files and configs."""

import ast
import re
from pathlib import Path

import pytest

from mmdecouple.configuration import check_config
from mmdecouple.configuration.values import ROOT_KEYS
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError

from .docs.check_commands import problems
from .docs.run_blocks import page_run
from .docs.shell import Command, commands, spans
from .docs.tools import ROOT

PAGES = [
    ROOT / 'README.md',
    ROOT / 'SECURITY.md',
    ROOT / 'CONTRIBUTING.md',
    ROOT / 'CHANGELOG.md',
    *sorted(path for path in (ROOT / 'docs').rglob('*.md') if not {'results', '_build'} & set(path.parts)),
    *sorted((ROOT / 'configs').rglob('README.md')),
]
PROGRAMS = [
    path for folder in ('mmdecouple/commands', 'tools', 'examples') for path in sorted((ROOT / folder).rglob('*.py'))
]
# Overrides that a sentence names belong to one method or task each.
SAMPLES = [
    'densecl/densecl-d_r50_8xb32-200e_coco.py',
    'ibot/ibot-d_vit-s16_8x64-200e_coco.py',
    'maskalign/maskalign-d_vit-s16_8x128-200e_coco.py',
    'soco/soco-c4-d_r50_8xb128-200e_coco.py',
    'leopart/leopart-d_vit-s16_2xb32-50e_coco.py',
    'unirefiner/unirefiner-d_vit-s16_2xb8-2e_coco-5pct.py',
    'downstream/mmdet/mask-rcnn_r50-c4_90k_coco.py',
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def page_problems(text: str, folder: Path) -> list[str]:
    with page_run(text, folder) as (found, files):
        return found + [problem for command in commands(text) for problem in problems(command, files)]


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_the_blocks_of_a_page_run_and_its_commands_can_be_given(page, tmp_path):
    assert page_problems(page.read_text(), tmp_path) == []


def test_the_commands_in_the_help_of_a_tool_can_be_given():
    found, seen = [], 0
    for program in PROGRAMS:
        text = ast.get_docstring(ast.parse(program.read_text())) or ''
        shown = re.findall(r'^ +((?:python|bash|mim|mmdecouple) .*)$', text, re.MULTILINE)
        given = [*commands('```bash\n' + '\n'.join(shown) + '\n```\n'), *commands(text)]
        seen += len(given)
        found += [f'{name_of(program)} {problem}' for command in given for problem in problems(command)]
    assert found == [] and seen > 20


def test_every_option_that_a_sentence_names_is_an_option():
    sources = [*PROGRAMS, *(ROOT / 'mmdecouple').rglob('*.py'), *(ROOT / 'tools').rglob('*.sh')]
    code = '\n'.join(path.read_text() for path in sources)
    # Of other programs.
    known = {'--gpus', '--logdir', '--help'} | set(re.findall(r"'(--[a-z-]+)'", code))
    known |= {f'--no-{name}' for name in re.findall(r"'--([a-z-]+)',\s+action=argparse.BooleanOptionalAction", code)}
    named = {
        (page.name, option)
        for page in PAGES
        for _, span in spans(page.read_text())
        for option in re.findall(r'(?<!\S)--[a-z][a-z-]*', span)
    }
    assert len(named) > 40
    assert sorted(f'{page}: {option}' for page, option in named if option not in known) == []


def anchors(page: Path) -> set[str]:
    heads = re.findall(r'^#+ (.+)$', page.read_text(), re.MULTILINE)
    return {re.sub(r'[^\w -]', '', head.lower()).replace(' ', '-') for head in heads}


def test_every_link_of_a_page_leads_to_a_file_and_to_a_heading_of_it():
    wrong, seen = [], 0
    for page in PAGES:
        for target, anchor in re.findall(r'\]\((?!https?:)([^)#\s]*)(?:#([^)]*))?\)', page.read_text()):
            seen += 1
            path = page.parent / target if target else page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                wrong.append(f'{name_of(page)}: {target}#{anchor}')
    assert wrong == [] and seen > 100


def literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def takes(config: str, options: dict) -> bool:
    try:
        check_config(load_config(f'mmdecouple::{config}', options), options)
    except UserError:
        return False
    return True


def test_every_override_that_a_sentence_names_is_a_key_of_some_config():
    wrong, seen = [], 0
    for page in PAGES:
        for line, span in spans(page.read_text()):
            given = re.findall(r'(?:(?<=\s)|^)([a-z_]+(?:\.\w+)*)=(\S+)(?=\s|$)', span)
            real = [(key, value) for key, value in given if key.partition('.')[0] in ROOT_KEYS and '...' not in value]
            options = {key: literal(value) for key, value in real}
            if options:
                seen += 1
                if not any(takes(config, options) for config in SAMPLES):
                    wrong.append(f'{name_of(page)} line {line}: {span}')
    assert wrong == [] and seen > 5


@pytest.mark.parametrize(
    'line, wanted',
    [
        ('python tools/train.py CONFIG --sed 1', 'unrecognized arguments: --sed'),
        ('python tools/trian.py CONFIG', 'tools/trian.py does not exist'),
        ('python tools/train.py CONFIG --device gpu', "invalid choice: 'gpu'"),
        ('python tools/train.py configs/ibot/absent.py', 'configs/ibot/absent.py does not exist'),
        ('python tools/train.py mmdecouple::ibot/absent.py', 'absent.py'),
        ('python -m mmdecouple.runs.tarin CONFIG', 'mmdecouple/runs/tarin.py does not exist'),
        ('mim train mmdecouple densecl_r50_8xb32-200e_cocoa.py', '0 configs are named'),
        ('mim trian mmdecouple CONFIG', 'mim has no command trian'),
        ('mim train mmdecouple CONFIG --gpu-count 1', 'unrecognized arguments'),
        ('mim run mmdecouple cuopling work_dirs/x', '0 tools are named cuopling'),
        ('make dmeo', 'make has no target dmeo'),
        ("make demo ARGS='--method byol'", "invalid choice: 'byol'"),
        ("make clean ARGS='--all'", 'make clean does not read ARGS'),
        ('pip install -r requirements/absent.txt', 'requirements/absent.txt does not exist'),
        ('bash tools/dist_train.sh configs/densecl/densecl_r50_8xb32-200e_coco.py', 'dist_train.sh takes config gpus'),
        ('bash tools/dist_train.sh configs/densecl/densecl_r50_8xb32-200e_coco.py 8 --ampp', 'unrecognized'),
        ('bash tools/misc/setup.sh --fast', 'does not take --fast'),
        ('python tools/ablate.py mask_types', 'The table mask_types does not exist'),
        ('python tools/ablate.py evidence --settings nowhere', 'evidence has no nowhere'),
        ('python tools/ablate.py mask_type --rows iBOT/bass', 'matches no row'),
        ('python tools/analysis_tools/coupling.py RUN --measures OKN', 'no measure is named OKN'),
        ('python tools/analysis_tools/coupling.py RUN --data ade', 'ade cannot be used here'),
        ('mmdecouple coupling RUN --dataset scenes', '--dataset is called --data SPEC now'),
        ('mmdecouple cuopling RUN', 'mmdecouple has the commands'),
        ('python tools/misc/metrics_table.py --out x', 'takes no arguments'),
        ('rmdir work_dirs', 'rmdir is not a program'),
        (
            'python tools/train.py configs/densecl/densecl_r50_8xb32-200e_coco.py --cfg-options model.queue_len=8',
            'no argument queue_len',
        ),
        (
            'GPUS=8 bash tools/slurm_train.sh PARTITION JOB configs/mocov2/mocov2_r50_8xb32-200e_coco.py OUT --sead 1',
            'unrecognized',
        ),
    ],
)
def test_a_wrong_command_of_a_page_is_found_and_named_with_its_line(line, wanted, tmp_path):
    page = f'# Page\n\n```bash\nmake test    # right\n{line}    # wrong\n```\n'
    (problem,) = page_problems(page, tmp_path)
    assert problem.startswith('line 5: ') and wanted in problem


@pytest.mark.parametrize(
    'code, wanted',
    [
        ("raise KeyError('x')", "KeyError: 'x'"),
        ('import mmdecouple.mask', "No module named 'mmdecouple.mask'"),
        ('x = = 1', 'SyntaxError'),
        ("_base_ = './absent.py'", 'no folder of configs/ has ./absent.py'),
        ("_base_ = 'mmdecouple::absent.py'", 'absent.py'),
        ("_base_ = 'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py'\nmodel = dict(queue_len=8)", 'queue_len'),
        ("model = dict(type='DenseCLL')", 'DenseCL'),
        ('print(first + 1)', "name 'first' is not defined"),
    ],
)
def test_a_wrong_block_of_a_page_is_found_and_named_with_its_line(code, wanted, tmp_path):
    (problem,) = page_problems(f'# Page\n\n```python\n{code}\n```\n', tmp_path)
    assert problem.startswith('line 4: ') and wanted in problem


def test_blocks_share_a_namespace_a_folder_and_their_files(tmp_path):
    page = """
```python
# page_part.py
first = 41
```
and
```python
first += 1
open('made.txt', 'w').write(str(first))
```
```python
from page_part import first as again
assert (first, again) == (42, 41)
```
"""
    assert page_problems(page, tmp_path) == [] and (tmp_path / 'made.txt').read_text() == '42'


def test_shell_lines_are_read_as_a_shell_reads_them():
    page = """
```bash
# only a comment
A=x  B=1
C=2 python a.py $A=${B} \\
    --c 'd # e' > out.txt   # the rest
make one && make two | tee log
N=timm:vit
python b.py $N#1
```
Text with `make three` and `not a command`.
"""
    assert list(commands(page)) == [
        Command(5, ['python', 'a.py', 'x=1', '--c', 'd # e']),
        Command(7, ['make', 'one']),
        Command(7, ['make', 'two']),
        Command(7, ['tee', 'log']),
        Command(9, ['python', 'b.py', 'timm:vit#1']),
        Command(11, ['make', 'three'], inline=True),
    ]

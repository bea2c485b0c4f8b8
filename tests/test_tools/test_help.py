"""One grammar for all command lines: the help of every command and tool is read."""

import argparse
import re
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from unittest import mock

import pytest

from mmdecouple.ablation.table import SCALES as TABLE_SCALES
from mmdecouple.commands import (
    ablate,
    affinity,
    entry,
    lsc,
    masks,
    measuring,
    options,
    scene_options,
    segment,
    transfer,
)
from mmdecouple.commands.entry import COMMANDS
from mmdecouple.datasets.scenes.spec import SceneSpec
from mmdecouple.downstream.archs import ARCHS
from mmdecouple.downstream.tasks import TASKS
from mmdecouple.evaluation.local_consistency import PRECISIONS
from mmdecouple.evaluation.mask_statistics import MASK_TYPES
from mmdecouple.evaluation.measures.inter_coupling import REMOVALS
from mmdecouple.evaluation.segmentation.suites import METHODS
from mmdecouple.masks import PRESETS
from mmdecouple.utils.data_spec import SPECS
from mmdecouple.visualization.affinity import SCALES
from tests.conftest import ROOT
from tests.docs.tools import module_of

TOOLS = [path for path in sorted((ROOT / 'tools').rglob('*.py')) if 'options.Parser(' in path.read_text()]
PROGRAMS = {name: module for name, (module, _) in COMMANDS.items()} | {path.stem: path for path in TOOLS}
# Option -> its metavar or choices, and the start of its help, wherever it exists.
SHARED = {
    '--data': ('SPEC', f'data: ({"|".join(re.escape(form) for form in SPECS.values())})'),
    '--out': ('DIR', 'folder '),
    '--names': ('NAME', 'names of the networks'),
    '--role': (('teacher', 'student'), 'network to use if a file has both'),
    '--layer': ('LAYER', 'layer whose plain output is read'),
    '--allow-pickle': (None, 'trust '),
    '--device': (('auto', 'cpu', 'cuda'), 'device; auto takes CUDA if there is a GPU'),
    '--limit': ('N', 'maximum number of '),
    '--seed': ('N', 'seed of '),
    '--workers': ('N', 'number of processes that '),
    '--batch-size': ('N', r'\w+ per batch'),
    '--seconds': ('N', 'time in seconds for '),
    '--threads': ('N', 'threads '),
    '--force': (None, 'replace '),
}
# Synonyms of words of the grammar, beside those that were renamed.
_SYNONYMS = (
    'dataset datasets data-dir input img image images-dir prefix '
    'output outputs output-dir out-dir outdir save save-dir dest target logdir '
    'checkpoint ckpt pretrained model net network teacher-or-student '
    'num-workers nproc processes procs num-images max-images count-images max-num '
    'bs batchsize batch seed-value random-seed cuda gpu overwrite replace trust'
)
BANNED = {*options.RENAMED} | {f'--{word}' for word in _SYNONYMS.split()}


class Built(BaseException):
    """Ends a program when it parses; not an `Exception`, which a program may catch."""


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser with which a program reads its words."""
    place = PROGRAMS[name]
    program = module_of(place) if isinstance(place, Path) else import_module(place)

    def end(self, *_, **__):
        raise Built(self)

    with (
        mock.patch.object(sys, 'argv', [name]),
        mock.patch.object(options.Parser, 'parse_known_args', end),
        mock.patch.object(argparse.ArgumentParser, 'parse_known_args', end),
        pytest.raises(Built) as built,
    ):
        program.main()
    return built.value.args[0]


@pytest.fixture(scope='module')
def parsers() -> dict[str, argparse.ArgumentParser]:
    return {name: parser_of(name) for name in PROGRAMS}


def actions(parsers) -> list[tuple[str, argparse.Action]]:
    """The name of the program, and each of its visible arguments."""
    return [
        (name, action)
        for name, parser in parsers.items()
        for action in parser._actions
        if action.help is not argparse.SUPPRESS and not isinstance(action, argparse._HelpAction)
    ]


def test_every_tool_reads_its_words_with_the_shared_parser():
    found = [path for path in (ROOT / 'tools').rglob('*.py') if 'ArgumentParser(' in path.read_text()]
    assert found == []


def described(action: argparse.Action) -> str:
    return action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)


def test_every_option_says_what_it_is_and_what_its_default_is(parsers):
    wrong, seen = [], 0
    for name, action in actions(parsers):
        seen += 1
        place, text = f'{name} {described(action)}', str(action.help or '')
        if not text or text[-1] == '.':
            wrong.append(f'{place}: needs a help text without a period')
        if action.option_strings and action.nargs != 0 and not (action.metavar or action.choices):
            wrong.append(f'{place}: needs a metavar in capitals')
        given = action.default in (None, False, argparse.SUPPRESS, {}) or not action.option_strings
        if not given and 'default' not in text:
            wrong.append(f'{place}: does not name its default')
    assert wrong == [] and seen > 200


def test_a_shared_option_is_the_same_everywhere(parsers):
    wrong, seen = [], set()
    for name, action in actions(parsers):
        for option in set(action.option_strings) & SHARED.keys():
            values, start = SHARED[option]
            seen.add(option)
            given = action.choices if action.choices is not None else action.metavar
            if (tuple(given) if isinstance(values, tuple) else given) != values or not re.match(start, action.help):
                wrong.append(f'{name} {option}: {given}: {action.help}')
            if option == '--out' and action.type is not Path:
                wrong.append(f'{name} --out: is no folder')
    assert wrong == [] and seen == SHARED.keys()


def test_there_is_one_word_for_each_idea_and_no_abbreviation(parsers):
    found = [(name, option) for name, action in actions(parsers) for option in action.option_strings]
    assert [f'{name} {option}' for name, option in found if option in BANNED] == []
    assert [name for name, parser in parsers.items() if parser.allow_abbrev] == []


def test_a_former_word_is_answered_with_the_word_of_today(parsers, capsys):
    seen = 0
    for name, parser in parsers.items():
        for former, today in parser.renamed.items():
            if former in parser._option_string_actions:
                continue
            with pytest.raises(SystemExit) as end:
                parser.parse_args([f'{former}=x'])
            known = today.split()[0] in parser._option_string_actions
            seen += known
            line = f'{former} is called {today} now' if known else f'this command has no option {former}'
            assert end.value.code == 2 and capsys.readouterr().err.strip().endswith(line), (name, former)
    assert seen > 50


@pytest.mark.parametrize(
    'ours, theirs',
    [
        (measuring.REMOVALS, REMOVALS),
        (segment.METHODS, METHODS),
        (masks.TYPES, MASK_TYPES),
        (masks.PRESETS, PRESETS),
        (lsc.PRECISIONS, PRECISIONS),
        (affinity.SCALES, SCALES),
        (sorted(ablate.SCALES), sorted(TABLE_SCALES)),
        (transfer.TASKS, TASKS),
        (transfer.ARCHS, ARCHS),
        (scene_options.DEFAULTS.items(), [(field.name, field.default) for field in fields(SceneSpec)]),
    ],
)
def test_choices_that_are_written_out_are_those_of_the_package(ours, theirs):
    assert tuple(ours) == tuple(theirs)


def test_the_program_lists_its_commands_and_names_them_for_a_wrong_one(capsys):
    entry.main(['--help'])
    overview = capsys.readouterr().out
    assert all(re.search(rf'^    {name} +\w', overview, re.MULTILINE) for name in COMMANDS)
    with pytest.raises(SystemExit, match='unknown command cuopling; commands: .*coupling'):
        entry.main(['cuopling'])


def test_help_needs_none_of_the_packages_that_take_seconds_to_import():
    names = [module for module, _ in COMMANDS.values()]
    code = (
        'import sys, importlib\n'
        f'for name in {names!r}:\n'
        '    try:\n'
        "        importlib.import_module(name).main(['--help'])\n"
        '    except SystemExit as end:\n'
        '        assert not end.code\n'
        "found = {'torch', 'mmpretrain', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        'assert not found, found\n'
    )
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_runs_as_a_program():
    done = subprocess.run([sys.executable, '-m', 'mmdecouple', '--version'], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == import_module('mmdecouple').__version__


def test_the_page_of_the_commands_has_them_all():
    page = (ROOT / 'docs' / 'commands.md').read_text()
    rows = [
        row
        for line in re.findall(r'^\| (`.*)', page, re.MULTILINE)
        for row in re.findall('`([^`]+)`', line.split(' | ')[0])
    ]
    assert COMMANDS.keys() <= {*rows} and SPECS.keys() <= {row.partition(':')[0] for row in rows}
    assert SHARED.keys() - {'--seconds', '--threads', '--force'} <= {row.split()[0] for row in rows}

"""Whether a command of a page can be given as it stands: program, options, choices, files, configs and their keys."""

import argparse
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmdecouple.ablation.plan import plan_runs
from mmdecouple.ablation.yaml_table import read_table
from mmdecouple.commands.entry import COMMANDS
from mmdecouple.configuration import check_config
from mmdecouple.evaluation.measures.catalog import measure_types
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import UserError

from .shell import Command, is_placeholder
from .tools import ROOT, WrongPage, mim_arguments, parse

CONFIGS = ROOT / 'configs'
# Programs of others whose own options are theirs to check.
_FOREIGN = ('sbatch', 'curl', 'source', 'tensorboard', 'cd', 'tar', 'unzip')
_VERBS = ('train', 'test', 'run', 'gridsearch', 'search', 'download')
_WRAPPERS = {
    'dist_train.sh': ('train.py', 'config', 'gpus'),
    'dist_test.sh': ('test.py', 'config', 'checkpoint', 'gpus'),
    'slurm_train.sh': ('train.py', 'partition', 'job', 'config', 'work_dir'),
    'slurm_test.sh': ('test.py', 'partition', 'job', 'config', 'checkpoint'),
}


def problems(command: Command, files: Collection[str] = ()) -> list[str]:
    """What is wrong with a command of a page, in one line each.

    Args:
        command: Its words.
        files: Names of the files that the page tells its reader to write.
    """
    try:
        if command.inline and _is_only_named(command.words):
            return []
        _check(command.words, files)
    except (WrongPage, UserError) as error:
        return [f'line {command.line}: {shlex.join(command.words)}: {error}']
    return []


def _is_only_named(words: list[str]) -> bool:
    """Whether a sentence names a tool or a command of `mim` without arguments: `mim train`, `python tools/train.py`."""
    if words[0] == 'mim':
        return len(words) <= 3 and words[1] in _VERBS
    if words[:2] == ['python', '-m'] and words[2:3] != ['mmdecouple']:
        return len(words) == 3 and _module(words[2]).is_file()
    if words[0] == 'mmdecouple':
        return len(words) == 2 and words[1] in COMMANDS
    return words[0] == 'python' and len(words) == 2 and _script(words[1]).is_file()


def _check(words: list[str], files: Collection[str]) -> None:
    program, *rest = words
    if program == 'python' and rest[:2] == ['-m', 'mmdecouple']:
        _check_command(rest[2:], files)
    elif program == 'python' and rest and rest[0] == '-m':
        _check_tool(_module(rest[1]), rest[2:], files)
    elif program == 'python':
        _check_tool(_script(rest[0]), rest[1:], files)
    elif program == 'mmdecouple':
        _check_command(rest, files)
    elif program == 'mpirun' and 'python' in rest:
        _check(rest[rest.index('python') :], files)
    elif program == 'bash':
        _check_bash(_script(rest[0]), rest[1:], files)
    elif program == 'make':
        _check_make(rest, files)
    elif program == 'mim':
        _check_mim(rest[0], rest[1:], files)
    elif program == 'pip':
        _check_pip(rest)
    elif program not in _FOREIGN:
        raise WrongPage(f'{program} is not a program that these pages use')


def _check_command(words: list[str], files: Collection[str]) -> None:
    if words and is_placeholder(words[0]):
        return
    if not words or words[0] not in COMMANDS:
        raise WrongPage(f'mmdecouple has the commands {", ".join(COMMANDS)}')
    _check_tool(_module(COMMANDS[words[0]][0]), words[1:], files)


def _script(name: str) -> Path:
    if not (ROOT / name).is_file():
        raise WrongPage(f'{name} does not exist')
    return ROOT / name


def _module(name: str) -> Path:
    return _script(f'{name.replace(".", "/")}.py')


def _check_tool(script: Path, words: list[str], files: Collection[str]) -> None:
    args = parse(script, words)
    for word in words:
        for part in word.split('='):
            _check_file(part, files)
    options = getattr(args, 'cfg_options', None) or {}
    if options and getattr(args, 'config', None):
        _check_keys(args.config, options, files)
    _MORE.get(_command_of(script), lambda args: None)(args)


def _command_of(script: Path) -> str:
    """The name of the command that a thin file of `tools/` runs, or of the file."""
    found = re.search(r'^from mmdecouple\.commands\.(\w+) import main$', script.read_text(), re.MULTILINE)
    return found[1] if found else script.stem


def _check_file(word: str, files: Collection[str]) -> None:
    """A config or a file of the repository must exist; what a reader makes or has cannot be looked up."""
    if is_placeholder(word) or word in files:
        return
    if '::' in word or (word.endswith('.py') and '/' not in word):
        _config(word, files)
    elif word.startswith(('configs/', 'tools/', 'docs/', 'examples/', 'tests/')) and not (ROOT / word).exists():
        raise WrongPage(f'{word} does not exist')


def _config(name: str, files: Collection[str]) -> str | None:
    """The file of a config, by path, by `package::path` or by bare name; None where it is not a real one."""
    if is_placeholder(name) or name in files:
        return None
    if '::' in name:
        load_config(name)
        return name
    if '/' in name:
        return str(_script(name))
    found = [str(path) for path in CONFIGS.rglob(name if name.endswith('.py') else f'{name}.py')]
    if len(found) != 1:
        close = get_close_matches(name, [path.name for path in CONFIGS.rglob('*.py')], 1)
        raise WrongPage(f'{len(found)} configs are named {name}; close: {"".join(close) or "none"}')
    return found[0]


def _check_keys(name: str, options: Mapping[str, Any], files: Collection[str]) -> None:
    path = _config(name, files)
    if path is not None:
        check_config(load_config(path, dict(options)), dict(options))


def _check_bash(script: Path, words: list[str], files: Collection[str]) -> None:
    if script.name not in _WRAPPERS:
        if any(word not in script.read_text() for word in words):
            raise WrongPage(f'{script.name} does not take {" ".join(words)}')
        return
    tool, *names = _WRAPPERS[script.name]
    if len(words) < len(names):
        raise WrongPage(f'{script.name} takes {" ".join(names)}')
    given = dict(zip(names, words))
    if 'gpus' in given and not given['gpus'].isdigit():
        raise WrongPage(f'{script.name}: {given["gpus"]} is not a number of processes')
    positional = [given[key] for key in ('config', 'checkpoint') if key in given]
    _check_tool(script.with_name(tool), [*positional, *words[len(names) :]], files)


def _check_make(words: list[str], files: Collection[str]) -> None:
    arguments = dict(word.split('=', 1) for word in words if '=' in word)
    rules = dict(re.findall(r'^([a-z-]+):.*\n((?:\t.*\n?)*)', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    for target in (word for word in words if '=' not in word):
        if target not in rules:
            raise WrongPage(f'make has no target {target}; it has {", ".join(rules)}')
        if not set(arguments) <= set(re.findall(r'\$\((\w+)\)', rules[target])):
            raise WrongPage(f'make {target} does not read {", ".join(arguments)}')
        tool = re.search(r'(tools/\S+\.py) \$\(ARGS\)', rules[target])
        if tool:
            _check_tool(_script(tool[1]), shlex.split(arguments.get('ARGS', '')), files)


def _check_mim(verb: str, words: list[str], files: Collection[str]) -> None:
    given = mim_arguments(verb, words)
    rest = list(given.get('other_args', ()))
    if verb == 'run':
        tools = [path for path in (ROOT / 'tools').rglob('*.py') if path.stem == given['command']]
        if len(tools) != 1:
            raise WrongPage(f'{len(tools)} tools are named {given["command"]}')
        _check_tool(tools[0], rest, files)
    elif verb in ('train', 'test', 'gridsearch'):
        checkpoint = [given['checkpoint'] or 'FILE'] if verb == 'test' else []
        tool = ROOT / 'tools' / ('test.py' if verb == 'test' else 'train.py')
        _check_tool(tool, [given['config'], *checkpoint, *rest], files)
        for found in re.finditer(r'--(\S+)((?: (?!--)\S+)+)', given.get('search_args') or ''):
            for value in found[2].split():
                _check_keys(given['config'], {found[1]: float(value)}, files)
    elif verb == 'download':
        _config(*given['configs'] if isinstance(given['configs'], tuple) else (given['configs'],), files)


def _check_pip(words: list[str]) -> None:
    for option, name in pairwise(words):
        if option in ('-r', '-c'):
            _script(name)


def _ablate(args: argparse.Namespace) -> None:
    plan_runs(
        read_table(args.table),
        args.scale,
        Path('work_dirs'),
        seeds=(args.seeds or [0])[:1],
        rows=args.rows,
        settings=args.settings,
        options=args.cfg_options,
    )


def _probes(args: argparse.Namespace) -> None:
    if args.data:
        probe_config(args.data, {}, measures=args.measures, limit=args.limit)
    unknown = set(args.measures or ()) - set(measure_types())
    if unknown:
        raise WrongPage(f'no measure is named {", ".join(unknown)}')


_MORE: dict[str, Callable[[argparse.Namespace], None]] = dict(ablate=_ablate, coupling=_probes, compare=_probes)

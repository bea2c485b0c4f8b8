"""Writes the list of all distributions that the set-up installs, with the versions of this environment.

Run it after a change of `requirements/`, with the Python of an environment in which the tests pass. It writes
`requirements/constraints.txt`, or `constraints-classic.txt` if the environment holds the original OpenMMLab packages.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mmdecouple.commands.options import Parser
from mmdecouple.utils.errors import UserError, one_line_errors
from mmdecouple.utils.files import write_text
from mmdecouple.utils.versions import stack

ROOT = Path(__file__).resolve().parents[2]
STACKS = {'onedl': 'constraints.txt', 'classic': 'constraints-classic.txt'}
PYTHONS = {'onedl': '3.11', 'classic': '3.10'}
# ONNX needs a newer torch, and the site is built with the maintained packages.
NOT_FOR = {'onedl': set(), 'classic': {'docs.txt', 'export.txt'}}
# Both have the same content; the headless one needs no display, and both on the disk overwrite each other.
INSTEAD = {'opencv-python': 'opencv-python-headless'}
# The virtual environment brings it.
LEFT_OUT = {'pip'}
HEADER = (
    '# Every distribution of an environment in which the tests pass, without their dependencies:\n'
    '# `pip install --no-deps -r` this file. Written by tools/misc/constraints.py.\n'
)


def stated(family: str) -> list[Requirement]:
    """Returns what the files in `requirements/` ask for.

    Args:
        family: `onedl` or `classic`.
    """
    skipped = {*STACKS.values(), *(f'{name}.txt' for name in STACKS if name != family), *NOT_FOR[family]}
    files = [path for path in sorted((ROOT / 'requirements').glob('*.txt')) if path.name not in skipped]
    lines = [line.strip() for path in files for line in path.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith('#')]
    python = {'python_version': PYTHONS[family]}
    return [item for item in found if item.marker is None or item.marker.evaluate(python)]


def installed_closure(requirements: Iterable[Requirement]) -> dict[str, str]:
    """Returns the versions of the required distributions and of everything that they require.

    Raises:
        UserError: One of them is not installed.
    """
    versions: dict[str, str] = {}
    waiting, seen = [(item, 'requirements/') for item in requirements], set()
    while waiting:
        item, origin = waiting.pop()
        name = INSTEAD.get(canonicalize_name(item.name), canonicalize_name(item.name))
        if name in LEFT_OUT or (name, *item.extras) in seen:
            continue
        seen.add((name, *item.extras))
        try:
            found = distribution(name)
        except PackageNotFoundError as error:
            raise UserError(f'{name}, required by {origin}, is not installed here; run make setup.') from error
        versions[name] = found.version
        for needed in map(Requirement, found.requires or []):
            if needed.marker is None or any(needed.marker.evaluate({'extra': extra}) for extra in ('', *item.extras)):
                waiting.append((needed, name))
    return versions


def line(name: str, version: str) -> str:
    """Returns a line of the list."""
    # `===` keeps out local builds such as 2.11.0+cpu, next to which torchvision of PyPI does not load.
    sign = '===' if name in ('torch', 'torchvision') else '=='
    system = '; sys_platform == "linux"' if name.startswith(('nvidia-', 'cuda-', 'triton')) else ''
    return f'{name}{sign}{version}{system}'


def main() -> None:
    Parser(__doc__).parse_args()
    path = ROOT / 'requirements' / STACKS[stack()]
    versions = installed_closure(stated(stack()))
    write_text(path, HEADER + ''.join(f'{line(*item)}\n' for item in sorted(versions.items())))
    print(f'{path}: {len(versions)} distributions')


if __name__ == '__main__':
    with one_line_errors():
        main()

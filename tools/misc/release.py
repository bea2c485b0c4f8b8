"""Builds source distribution and wheel, and checks that the wheel works in an empty folder.

    python tools/misc/release.py            # checks the versions, builds into dist/, tries the wheel
    python tools/misc/release.py --tag      # the same, for a clean checkout only, and creates the tag vVERSION

Nothing is uploaded. The wheel is installed into a fresh environment that sees the other packages of this one.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))
from mmdecouple.commands.options import Parser, add_out  # noqa: E402
from mmdecouple.runs.startup import program  # noqa: E402
from mmdecouple.utils.errors import UserError  # noqa: E402
from mmdecouple.version import __version__  # noqa: E402


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    add_out(parser, 'dist', 'the two distributions')
    parser.add_argument('--tag', action='store_true', help='create the tag of this version')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with program():
        check_versions(ROOT)
        if args.tag:
            check_clean()
        for path in build(args.out.resolve()):
            print(path)
            if path.suffix == '.whl':
                try_wheel(path)
        if args.tag:
            _run('git', 'tag', '-a', f'v{__version__}', '-m', f'Version {__version__}', cwd=ROOT)
            print(f'Created the tag; push it with: git push origin v{__version__}')


def check_versions(root: Path) -> None:
    """Checks that the newest version of the changelog and that of CITATION.cff are this version, with one date.

    Args:
        root: Folder of the checkout.

    Raises:
        UserError: They differ.
    """
    versions = re.findall(r'^## \[(\d\S*)\] - (\d{4}-\d\d-\d\d)$', (root / 'CHANGELOG.md').read_text(), re.MULTILINE)
    citation = yaml.safe_load((root / 'CITATION.cff').read_text())
    dates = {'CHANGELOG.md': versions[0], 'CITATION.cff': (citation['version'], citation['date-released'])}
    for name, (version, _) in dates.items():
        if version != __version__:
            raise UserError(f'release: {name} has version {version}, mmdecouple/version.py {__version__}; correct one.')
    if len({date for _, date in dates.values()}) > 1:
        raise UserError(f'release: CHANGELOG.md and CITATION.cff have different dates for {__version__}; correct one.')


def check_clean() -> None:
    """Raises UserError if the checkout has changes, or the tag exists."""
    if _run('git', 'status', '--porcelain', cwd=ROOT):
        raise UserError('release: the checkout has changes; commit or remove them before --tag.')
    if _run('git', 'tag', '--list', f'v{__version__}', cwd=ROOT):
        raise UserError(f'release: the tag v{__version__} exists; set a new version in mmdecouple/version.py.')


def build(out: Path) -> list[Path]:
    """Builds both distributions, the wheel from the unpacked source distribution, and returns their paths."""
    with tempfile.TemporaryDirectory() as folder:
        _run(sys.executable, 'setup.py', '-q', 'sdist', '-d', folder, cwd=ROOT)
        source = next(Path(folder).glob('*.tar.gz'))
        shutil.unpack_archive(source, folder)
        unpacked = Path(folder) / source.name.removesuffix('.tar.gz')
        options = ['--no-deps', '--no-build-isolation', '--disable-pip-version-check', '-q']
        _run(sys.executable, '-m', 'pip', 'wheel', *options, '-w', folder, str(unpacked), cwd=folder)
        out.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy2(path, out)) for path in (source, next(Path(folder).glob('*.whl')))]


def try_wheel(wheel: Path) -> None:
    """Installs a wheel into a fresh environment, and trains and measures with it in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / 'environment'
        venv.create(place, with_pip=False, symlinks=True)
        paths = sysconfig.get_paths(vars={'base': str(place), 'platbase': str(place)})
        _run(sys.executable, '-m', 'pip', '-q', '--python', str(place), 'install', '--no-deps', str(wheel), cwd=folder)
        # After the wheel, so that the editable install of this environment does not come first.
        (Path(paths['purelib']) / 'others.pth').write_text(sysconfig.get_path('purelib') + '\n')
        (work := Path(folder) / 'work').mkdir()
        program = str(place / 'bin' / 'mmdecouple')
        if (shown := _run(program, '--version', cwd=work)) != __version__:
            raise UserError(f'release: the wheel shows version {shown} instead of {__version__}.')
        _run(program, 'demo', '--quick', '--out', 'demo', cwd=work)
        if not (work / 'demo' / 'report.html').is_file():
            raise UserError('release: the demo of the wheel wrote no report.')
        print('The wheel trained, measured and wrote a report in an empty folder.')


def _run(*words: str, cwd: Path | str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'PYTHONHOME')}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(*(done.stdout + done.stderr).splitlines()[-15:], sep='\n', file=sys.stderr)
        raise UserError(f'release: {" ".join(map(str, words[:6]))} ... ended with exit code {done.returncode}.')
    return done.stdout.strip()


if __name__ == '__main__':
    main()

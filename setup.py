"""Packaging of `mmdecouple`: the distribution, and the files that `mim` looks for."""

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.develop import develop

ROOT = Path(__file__).resolve().parent
# openmim looks for `.mim` in the package, onedl-mim in the top-level folder of the first installed file. Files are
# listed in order of name; the second name comes before console scripts (`../../../bin/`) and metadata.
MIM_FOLDERS = ('mmdecouple', '+mmdecouple')


MIM_FILES = ('tools', 'configs', 'model-index.yml')


class BuildWithMimFiles(build_py):
    """Copies tools, configs and model index into a wheel."""

    def run(self) -> None:
        """Builds the modules, then adds the configs."""
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
        for folder in MIM_FOLDERS:
            target = Path(self.build_lib) / folder / '.mim'
            for part in MIM_FILES:
                if (ROOT / part).is_dir():
                    shutil.copytree(ROOT / part, target / part, ignore=ignore, dirs_exist_ok=True)
                else:
                    shutil.copy2(ROOT / part, target)


class DevelopWithMimLinks(develop):
    """Links the same files into the package of a checkout, where openmim looks for them.

    Setuptools before 64, which openmim brings, installs in place by this command, later ones do not. For onedl-mim
    there must be no links: it follows them from the checkout, and refuses configs that it finds twice.
    """

    def run(self) -> None:
        """Makes the links, then installs."""
        folder = ROOT / 'mmdecouple' / '.mim'
        folder.mkdir(exist_ok=True)
        for part in MIM_FILES:
            (folder / part).unlink(missing_ok=True)
            (folder / part).symlink_to(f'../../{part}')
        super().run()


def requirements(name: str) -> list[str]:
    """Lines of `requirements/<name>.txt` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith('#')]


def version() -> str:
    """The one version number, read without importing the package."""
    scope: dict = {}
    exec((ROOT / 'mmdecouple' / 'version.py').read_text(), scope)
    return scope['__version__']


def readme() -> str:
    """Text of the project's page; empty in a tree that has none yet."""
    path = ROOT / 'README.md'
    return path.read_text(encoding='utf-8') if path.exists() else ''


def scratch_folders() -> dict[str, dict[str, str]]:
    """Options that keep what a build writes out of the checkout.

    `mim` would find configs in `build` twice, and metadata in the checkout would hide those of the installation. Only
    `setup.py develop`, by which setuptools before 64 installs in place, needs its metadata there.
    """
    scratch = tempfile.mkdtemp(prefix='mmdecouple-build-')
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    options = {'build': {'build_base': scratch}}
    return options if 'develop' in sys.argv else {**options, 'egg_info': {'egg_base': scratch}}


if __name__ == '__main__':
    names = sorted(path.stem for path in (ROOT / 'requirements').glob('*.txt'))
    extras = {name: requirements(name) for name in names if not name.startswith(('build', 'constraints', 'runtime'))}
    setup(
        name='mmdecouple',
        version=version(),
        description='Dense self-supervised pre-training, de-coupled by one config block',
        long_description=readme(),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        classifiers=[
            'Intended Audience :: Science/Research',
            'Operating System :: POSIX :: Linux',
            *(f'Programming Language :: Python :: 3.{minor}' for minor in (10, 11, 12)),
            'Topic :: Scientific/Engineering :: Image Recognition',
        ],
        python_requires='>=3.10,<3.13',
        packages=find_packages(include=['mmdecouple', 'mmdecouple.*']),
        entry_points={'console_scripts': ['mmdecouple = mmdecouple.commands.entry:main']},
        include_package_data=True,
        install_requires=requirements('runtime'),
        extras_require=extras,
        cmdclass={'build_py': BuildWithMimFiles, 'develop': DevelopWithMimLinks},
        options=scratch_folders(),
        zip_safe=False,
    )

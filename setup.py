"""Packaging of `mmdecouple`: the distribution, and the files that `mim` looks for."""

import atexit
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# `mim` takes the top-level folder of a wheel's first file as the package. Files are listed in order
# of name, and `mmdecouple-<version>.dist-info` comes before `mmdecouple/`; this comes before both.
MIM_FOLDER = '_mmdecouple'


class BuildWithMimFiles(build_py):
    """Copies tools, configs and model index into a wheel; editable installs use the checkout."""

    def run(self) -> None:
        """Builds the modules, then adds the configs."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / MIM_FOLDER / '.mim'
        ignore = shutil.ignore_patterns('__pycache__', '*.pyc')
        for folder in ('tools', 'configs'):
            shutil.copytree(ROOT / folder, target / folder, ignore=ignore, dirs_exist_ok=True)
        shutil.copy2(ROOT / 'model-index.yml', target)


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


if __name__ == '__main__':
    # A `build` folder in the checkout would hold every config twice; `mim` asks for unique names.
    scratch = tempfile.mkdtemp(prefix='mmdecouple-build-')
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    extras = {name: requirements(name) for name in ('mminstall', 'optional', 'export', 'tests')}
    setup(
        name='mmdecouple',
        version=version(),
        description='Dense self-supervised pre-training, de-coupled by one config block',
        long_description=readme(),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        python_requires='>=3.10,<3.13',
        packages=find_packages(include=['mmdecouple', 'mmdecouple.*']),
        entry_points={'console_scripts': ['mmdecouple = mmdecouple.commands.entry:main']},
        include_package_data=True,
        install_requires=requirements('runtime'),
        extras_require=extras,
        cmdclass={'build_py': BuildWithMimFiles},
        options={'build': {'build_base': scratch}, 'egg_info': {'egg_base': scratch}},
        zip_safe=False,
    )

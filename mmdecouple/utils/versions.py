"""Supported versions of the dependencies, and a check of the installed ones."""

from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from mmdecouple.utils.errors import WrongInstallation

# Import name -> distributions of the maintained and of the original family.
FAMILIES = {
    'mmengine': ('onedl-mmengine', 'mmengine'),
    'mmcv': ('onedl-mmcv', 'mmcv'),
    'mmpretrain': ('onedl-mmpretrain', 'mmpretrain'),
    'mmdet': ('onedl-mmdetection', 'mmdet'),
    'mmseg': ('onedl-mmsegmentation', 'mmsegmentation'),
}
OPENCV = ('opencv-python', 'opencv-python-headless', 'opencv-contrib-python', 'opencv-contrib-python-headless')
REQUIRED = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
# `compatibility` has what versions of torch before 2.5 lack.
SUPPORTED = {
    'torch': '>=2.1,<2.14',
    'torchvision': '>=0.16,<0.29',
    'mmengine': '>=0.10,<1.0',
    'mmcv': '>=2.0,<2.4',
    'mmpretrain': '>=1.2,<2.0',
    'mmdet': '>=3.3,<4.0',
    'mmseg': '>=1.2,<2.0',
}


def installed_version(distribution: str) -> str | None:
    """Returns the version of an installed distribution, or None if it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def installed_versions() -> dict[str, list[tuple[str, str]]]:
    """Returns a map from import name to the (distribution, version) pairs that provide it; two pairs are a conflict."""
    names = {'torch': ('torch',), 'torchvision': ('torchvision',), **FAMILIES}
    return {
        module: [(name, found) for name in candidates if (found := installed_version(name))]
        for module, candidates in names.items()
    }


def stack() -> str:
    """Returns the family of OpenMMLab packages in this environment: `classic` for the original one, else `onedl`."""
    maintained, original = FAMILIES['mmengine']
    return 'classic' if installed_version(original) and not installed_version(maintained) else 'onedl'


def setup_command() -> str:
    """Returns the command that installs the tested versions: the set-up script in a checkout, pip otherwise."""
    if (Path(__file__).resolve().parents[2] / 'tools' / 'misc' / 'setup.sh').is_file():
        return 'make setup FORCE=1' if stack() == 'onedl' else 'STACK=classic FORCE=1 bash tools/misc/setup.sh'
    return f"pip install --no-build-isolation --no-cache-dir 'mmdecouple[{stack()}]'"


def tested_version(module: str) -> str:
    """Returns the requirement of this package for the distribution of a module, such as `mmcv==2.1.0`.

    Args:
        module: Name in `FAMILIES`.
    """
    name = FAMILIES[module][stack() == 'classic']
    try:
        stated = [Requirement(line) for line in requires('mmdecouple') or []]
    except PackageNotFoundError:
        stated = []
    return next((f'{item.name}{item.specifier}' for item in stated if item.name == name), name)


def opencv_distributions() -> list[str]:
    """Returns the installed distributions of OpenCV; two of them overwrite each other's files."""
    return [name for name in OPENCV if installed_version(name)]


def _torch_of_torchvision() -> str:
    """Returns the specifier of the torch versions that the installed torchvision requires, or an empty string."""
    required = [Requirement(line) for line in requires('torchvision') or []]
    return next((str(item.specifier) for item in required if item.name == 'torch'), '')


def check_versions() -> None:
    """Checks that the packages that pre-training needs are installed, from one family and in supported versions.

    Only package metadata is read and nothing is imported, so that the check also works if an import would crash.

    Raises:
        WrongInstallation: A package is missing, provided twice, from another family or of an unsupported version.
    """
    remedy = f'run: {setup_command()}'
    found = installed_versions()
    for module, providers in found.items():
        if len(providers) > 1:
            names = ' and '.join(f'{name} {number}' for name, number in providers)
            raise WrongInstallation(
                f'{names} both provide {module}; uninstall one: pip uninstall {providers[1][0]}, then {remedy}'
            )
        if not providers:
            if module in REQUIRED:
                raise WrongInstallation(f'{module} is not installed; {remedy}')
            continue
        name, number = providers[0]
        if not SpecifierSet(SUPPORTED[module], prereleases=True).contains(number):
            raise WrongInstallation(
                f'{name} {number} is installed, mmdecouple needs {name}{SUPPORTED[module]}; {remedy}'
            )
    families = {module: found[module][0][0] for module in FAMILIES if found[module]}
    maintained = sorted(name for name in families.values() if name.startswith('onedl-'))
    original = sorted(name for name in families.values() if not name.startswith('onedl-'))
    if maintained and original:
        raise WrongInstallation(
            f'two OpenMMLab families are mixed: {", ".join(maintained)} with '
            f'{", ".join(original)}; keep one: pip uninstall {" ".join(original)}, then {remedy}'
        )
    torch, torchvision = found['torch'][0][1], found['torchvision'][0][1]
    required = SpecifierSet(_torch_of_torchvision(), prereleases=True)
    if not required.contains(torch.partition('+')[0]):
        raise WrongInstallation(
            f'torchvision {torchvision} was built for torch{required}, but torch {torch} is installed; {remedy}'
        )
    numpy = installed_version('numpy')
    if numpy and Version(torch) < Version('2.3') and Version(numpy) >= Version('2'):
        raise WrongInstallation(
            f"numpy {numpy} is installed, but torch {torch} was built for numpy 1; run: pip install 'numpy<2'"
        )

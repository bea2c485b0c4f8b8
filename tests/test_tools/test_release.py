"""The files of a release agree, and the wheel that is built works where no checkout is."""

import importlib.util
import sys

import pytest

from mmdecouple.utils.errors import UserError
from mmdecouple.version import __version__

from .conftest import CHECKOUT_TOOLS, ROOT, run


def tool():
    spec = importlib.util.spec_from_file_location('release', CHECKOUT_TOOLS / 'misc' / 'release.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(folder, changelog, citation):
    (folder / 'CHANGELOG.md').write_text(
        f'# Changelog\n\n## [Unreleased]\n\n## [{changelog}\n\n## [0.0.1] - 2020-01-01\n'
    )
    (folder / 'CITATION.cff').write_text(citation)


CITATION = 'version: {}\ndate-released: "{}"\n'
RIGHT = f'{__version__}] - 2030-01-02', CITATION.format(__version__, '2030-01-02')


def test_equal_versions_and_dates_are_accepted(tmp_path):
    write(tmp_path, *RIGHT)
    tool().check_versions(tmp_path)


@pytest.mark.parametrize(
    'changelog, citation, line',
    [
        ('9.9.9] - 2030-01-02', RIGHT[1], r'CHANGELOG.md has version 9\.9\.9'),
        (f'{__version__}]', RIGHT[1], r'CHANGELOG.md has version 0\.0\.1'),
        (RIGHT[0], CITATION.format('9.9.9', '2030-01-02'), r'CITATION.cff has version 9\.9\.9'),
        (RIGHT[0], CITATION.format(__version__, '2030-01-03'), 'different dates'),
    ],
)
def test_another_version_or_date_is_one_line(tmp_path, changelog, citation, line):
    write(tmp_path, changelog, citation)
    with pytest.raises(UserError, match=line):
        tool().check_versions(tmp_path)


def test_the_files_of_this_checkout_agree():
    tool().check_versions(ROOT)


@pytest.mark.slow
def test_the_wheel_of_a_release_trains_and_reports_in_an_empty_folder(tmp_path):
    printed = run(
        [sys.executable, CHECKOUT_TOOLS / 'misc' / 'release.py', '--out', str(tmp_path)], toy_folder=ROOT, cwd=ROOT
    )
    assert 'trained, measured and wrote a report in an empty folder' in printed
    assert {path.suffix for path in tmp_path.iterdir()} == {'.gz', '.whl'}

"""Mixed-up installations are named in one line, from package metadata alone."""

import pytest

from mmdecouple.utils import versions

GOOD = {
    'torch': '2.11.0+cu130',
    'torchvision': '0.26.0',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
    'onedl-mmdetection': '3.5.1',
    'onedl-mmsegmentation': '1.4.2',
}
ORIGINAL = {
    'torch': '2.1.2',
    'torchvision': '0.16.2',
    'numpy': '1.26.4',
    'mmengine': '0.10.7',
    'mmcv': '2.1.0',
    'mmpretrain': '1.2.0',
}


def check(monkeypatch, installed, torch_of_torchvision='==2.11.0'):
    monkeypatch.setattr(versions, 'installed_version', installed.get)
    wanted = [f'torch{torch_of_torchvision}', 'numpy']
    monkeypatch.setattr(versions, 'requires', lambda name: wanted)
    versions.check_versions()


def test_the_pinned_set_passes(monkeypatch):
    assert check(monkeypatch, GOOD) is None


def test_the_original_family_passes(monkeypatch):
    assert check(monkeypatch, ORIGINAL, '==2.1.2') is None


def test_the_remedy_stays_in_the_family_and_names_its_tested_versions(monkeypatch):
    with pytest.raises(ImportError, match='run: STACK=classic FORCE=1 bash tools/misc/setup.sh'):
        check(monkeypatch, {**ORIGINAL, 'mmpretrain': None})
    stated = ['onedl-mmcv==2.3.6; extra == "onedl"', 'mmcv==2.1.0; extra == "classic"', 'numpy<2; extra == "classic"']
    monkeypatch.setattr(versions, 'requires', lambda name: stated)
    assert versions.tested_version('mmcv') == 'mmcv==2.1.0'
    monkeypatch.setattr(versions, 'installed_version', GOOD.get)
    assert versions.tested_version('mmcv') == 'onedl-mmcv==2.3.6'


def test_numpy_2_beside_a_torch_of_numpy_1_is_named(monkeypatch):
    with pytest.raises(ImportError, match=r"numpy 2.2.6 is installed, but torch 2.1.2 .*pip install 'numpy<2'"):
        check(monkeypatch, {**ORIGINAL, 'numpy': '2.2.6'}, '==2.1.2')


def test_transfer_packages_are_optional(monkeypatch):
    optional = {name: number for name, number in GOOD.items() if 'detection' not in name}
    assert check(monkeypatch, optional) is None


@pytest.mark.parametrize(
    'change, line',
    [
        ({'mmcv': '2.1.0'}, 'onedl-mmcv 2.3.6 and mmcv 2.1.0 both provide mmcv; uninstall one'),
        ({'onedl-mmpretrain': None, 'mmpretrain': '1.2.0'}, 'two OpenMMLab families are mixed'),
        ({'onedl-mmengine': None}, 'mmengine is not installed; run: make setup'),
        ({'onedl-mmcv': '1.7.2'}, 'onedl-mmcv 1.7.2 is installed, mmdecouple needs onedl-mmcv>=2.0'),
        ({'torch': '2.0.1'}, 'torch 2.0.1 is installed, mmdecouple needs torch>=2.1'),
        ({'torch': '2.13.0+cpu'}, 'was built for torch==2.11.0, but torch 2.13.0'),
    ],
    ids=['doubled', 'mixed', 'missing', 'too old', 'torch that cannot train', 'other torch'],
)
def test_a_mixed_up_installation_is_named(monkeypatch, change, line):
    with pytest.raises(ImportError) as info:
        check(monkeypatch, {**GOOD, **change})
    assert line in str(info.value) and '\n' not in str(info.value)

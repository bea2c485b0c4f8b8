"""Configs inherit from this package and from the others."""

import subprocess
import sys

import pytest

from mmdecouple.utils.configs import load_config

from .conftest import ROOT

BASES = {
    'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py': 'DenseCL',
    'mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py': 'MaskRCNN',
    'mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py': 'EncoderDecoder',
    'mmpretrain::densecl/densecl_resnet50_8xb32-coslr-200e_in1k.py': 'DenseCL',
}


@pytest.mark.parametrize('base', BASES, ids=lambda base: base.partition('::')[0])
def test_a_base_of_each_package_resolves(base, tmp_path):
    (tmp_path / 'child.py').write_text(f'_base_ = {base!r}\nadded = 1\n')
    config = load_config(str(tmp_path / 'child.py'))
    assert config.model.type == BASES[base] and config.added == 1


def test_a_variable_of_an_own_base_can_be_used(tmp_path):
    (tmp_path / 'child.py').write_text(
        "_base_ = 'mmdecouple::densecl/densecl_r50_8xb32-200e_coco.py'\nkind = _base_.model.type\n"
    )
    assert load_config(str(tmp_path / 'child.py')).kind == 'DenseCL'


def test_an_unknown_own_base_names_close_ones(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = 'mmdecouple::densecl/densecl_r50_coco.py'\n")
    with pytest.raises(FileNotFoundError, match='densecl/densecl_r50_8xb32-200e_coco.py'):
        load_config(str(tmp_path / 'child.py'))


def test_an_override_that_does_not_fit_is_named(tmp_path):
    (tmp_path / 'child.py').write_text('workers = 2\n')
    with pytest.raises(ValueError, match='workers.count'):
        load_config(str(tmp_path / 'child.py'), {'workers.count': 3})


def test_importing_the_package_stays_cheap():
    code = 'import sys, mmdecouple, mmdecouple.registry; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT).returncode == 0

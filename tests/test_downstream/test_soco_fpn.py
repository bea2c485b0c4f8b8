"""The pyramid and the box head that SoCo-FPN pre-trained go into mmdet's, tensor by tensor."""

import logging

import pytest
import torch

from mmdecouple.downstream import LoadCheckHook
from mmdecouple.models import SoCoFPN
from mmdecouple.weights.formats.resnet import from_ours, to_ours
from tests.test_downstream.models import build, c4, fpn, soco_fpn
from tests.test_downstream.test_loading import FakeRunner

NORM = dict(type='BN')


@pytest.fixture(scope='module')
def pretrained():
    """A SoCo-FPN with random values."""

    def mlp(channels):
        return dict(
            type='mmpretrain.NonLinearNeck',
            in_channels=channels,
            hid_channels=6,
            out_channels=5,
            with_bias=True,
            with_last_bias=True,
            with_last_bn=False,
            with_avg_pool=False,
            norm_cfg=dict(type='BN1d'),
        )

    torch.manual_seed(0)
    model = SoCoFPN(
        predictor=mlp(5),
        backbone=dict(type='mmpretrain.ResNet', depth=18, norm_cfg=NORM, out_indices=(0, 1, 2, 3)),
        neck=dict(
            type='RegionPyramid',
            in_channels=[64, 128, 256, 512],
            projector=mlp(7),
            channels=4,
            fc_channels=7,
            norm_cfg=NORM,
        ),
    )
    for value in model.state_dict().values():
        value.random_(1, 9) if value.dtype == torch.long else value.uniform_(0.5, 1.5)
    return model.eval()


@pytest.fixture(scope='module')
def files(pretrained, tmp_path_factory):
    """Its checkpoint in our names and in the authors'."""
    folder = tmp_path_factory.mktemp('soco')
    ours = dict(state_dict=pretrained.state_dict())
    torch.save(ours, folder / 'mmdecouple.pth')
    torch.save(from_ours(to_ours(ours), 'soco'), folder / 'soco.pth')
    return {name: str(folder / f'{name}.pth') for name in ('mmdecouple', 'soco')}


@pytest.mark.parametrize('format, role', [('mmdecouple', 'auto'), ('soco', 'teacher')])
def test_the_detector_has_the_pyramid_and_the_head_of_pre_training(pretrained, files, format, role):
    source = pretrained.teacher if role == 'teacher' else pretrained
    model = build(soco_fpn(), files[format], role=role).eval()
    maps = [torch.randn(2, width, side, side) for width, side in ((64, 16), (128, 8), (256, 4), (512, 2))]
    expected = source.neck.pyramid({str(level): map for level, map in enumerate(maps)}).values()
    assert all(torch.equal(a, b) for a, b in zip(model.neck(maps), expected))
    regions, head = torch.randn(3, 4, 7, 7), model.roi_head.bbox_head
    expected = source.neck.fc(source.neck.convs(regions).flatten(1)).relu()
    found = head.shared_fcs[0](torch.nn.Sequential(*head.shared_convs)(regions).flatten(1)).relu()
    assert torch.equal(found, expected)
    assert head.fc_cls.weight.std() < 0.05


def test_the_load_check_shows_both_and_stops_a_change(files, tmp_path, caplog):
    model = build(soco_fpn(), files['mmdecouple'])
    with caplog.at_level(logging.INFO):
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
    told = ' '.join(caplog.text.split())
    assert 'with pyramid and box head' in told and 'roi_head.bbox_head.shared_convs.3.' in told
    table = (tmp_path / 'match_table.txt').read_text()
    assert 'neck.pyramid.inner_blocks.3.0.weight' in table and 'neck.lateral_convs.3.conv.weight' in table
    for key, count in (('neck.fpn_convs.3.bn.running_var', 1), ('roi_head.bbox_head.shared_fcs.0.bias', 2)):
        model.state_dict()[key].mul_(2)
        with pytest.raises(ValueError, match=f'{count} differs .*{key}'):
            LoadCheckHook().before_train(FakeRunner(model, tmp_path))


def test_where_there_is_no_place_or_no_wish_the_backbone_comes_alone(pretrained, files, tmp_path):
    alone = build(soco_fpn(), files['mmdecouple'], pyramid=False)
    assert not torch.equal(alone.neck.lateral_convs[0].conv.weight, pretrained.neck.pyramid.inner_blocks[0][0].weight)
    for model in (alone, build(c4(18), files['mmdecouple'])):
        assert torch.equal(model.backbone.layer2[0].conv1.weight, pretrained.backbone.layer2[0].conv1.weight)
        LoadCheckHook().before_train(FakeRunner(model, tmp_path))
        line = next(line for line in (tmp_path / 'match_table.txt').read_text().splitlines() if 'neck.fc.bias' in line)
        assert 'unused' in line


@pytest.mark.parametrize(
    'cfg, words',
    [
        (fpn(18), '8 another shape .*; 8 missing .neck.lateral_convs.0.conv.bias'),
        (soco_fpn(channels=8), 'another shape .neck.lateral_convs.0'),
        (soco_fpn(fc_channels=8), '2 another shape .roi_head.bbox_head.shared_fcs.0.weight'),
    ],
)
def test_a_pyramid_of_another_form_is_refused_with_the_way_out(files, cfg, words):
    with pytest.raises(ValueError, match=f'{words}.*model.init_cfg.pyramid=False loads only the backbone'):
        build(cfg, files['mmdecouple'])

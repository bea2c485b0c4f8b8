"""The shared head of a C4 detector."""

import torch
import torchvision

from mmdecouple.downstream import ResLayerExtraNorm


def test_the_head_is_conv5_of_torchvision_and_one_norm():
    torch.manual_seed(0)
    network = torchvision.models.resnet50().eval()
    head = ResLayerExtraNorm(depth=50, norm_cfg=dict(type='BN'))
    head.layer4.load_state_dict(network.layer4.state_dict())
    torch.nn.init.normal_(head.norm.weight), torch.nn.init.normal_(head.norm.running_mean)
    head.eval()
    regions = torch.randn(2, 1024, 6, 6)
    shift = head.norm.weight * head.norm.running_mean * (1 + 1e-5) ** -0.5
    with torch.no_grad():
        expected = (
            network.layer4(regions) * (head.norm.weight * (1 + 1e-5) ** -0.5)[:, None, None] - shift[:, None, None]
        )
        torch.testing.assert_close(head(regions), expected, rtol=1e-4, atol=1e-4)
    assert expected.shape == (2, 2048, 3, 3)


def test_its_norms_learn_statistics_unless_told_otherwise():
    for norm_eval in (False, True):
        head = ResLayerExtraNorm(depth=18, norm_cfg=dict(type='BN'), norm_eval=norm_eval)
        head.train()
        assert head.norm.training is head.layer4[0].bn1.training is not norm_eval

"""A method from outside gets its -D and -RCC variants from configuration alone."""
import torch
import torch.nn.functional as F

from mmdecouple.models import DenseAlgorithm
from mmdecouple.registry import MODELS

from .conftest import BRANCH, RESNET, build, losses_of


@MODELS.register_module()
class ToyDenseBYOL(DenseAlgorithm):
    """Regress the teacher's feature of the same position from the student's: dense BYOL without geometry."""

    student_views = (0, 1)
    key_views = (1, 0)

    def encode(self, backbone, neck, images):
        return dict(dense=neck(backbone(images)[-1]).flatten(2).transpose(1, 2))

    def base_loss(self, student, teacher):
        pooled = [out['dense'].mean(1, keepdim=True) for out in (student, teacher)]
        return dict(loss_byol=self.dense_loss(*pooled).mean())

    def dense_loss(self, student, target):
        return 2 - 2 * F.cosine_similarity(student, target, dim=-1)


TOY = dict(type='ToyDenseBYOL', backbone=RESNET)
CUT = dict(type='CutViews', mask=BRANCH['mask'], views=(0, 1), mask_stride=8)


def test_a_toy_method_is_decoupled_by_one_config_key(data):
    model = build({**TOY, 'decoupling': BRANCH}).train()
    prepared = model.data_preprocessor(data, True)
    losses = model(**prepared, mode='loss')
    assert set(losses) == {'loss_byol', 'loss_decoupling', 'decoupling', 'foreground_share'}
    assert len(prepared['decoupled'].images) == 2
    sum(v for k, v in losses.items() if k.startswith('loss')).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_a_toy_method_gets_its_rcc_variant_by_one_batch_stage(data):
    plain, cut = build(TOY).train(), build({**TOY, 'data_preprocessor': dict(batch_stages=[CUT])}).train()
    views = cut.data_preprocessor(data, True)['inputs']
    assert all(0.2 < (view == 0).all(1).float().mean() < 0.7 for view in views)
    assert losses_of(plain, data)['loss_byol'] != losses_of(cut, data)['loss_byol']
    assert torch.isfinite(losses_of(cut, data)['loss_byol'])

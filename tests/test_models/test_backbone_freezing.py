"""Head warm-up: in the first epochs the backbones of student and teacher keep their bits, and the rest learns."""

import pytest
import torch

from mmdecouple.utils.errors import UserError

from .conftest import BRANCH, build, densecl, losses_of
from .golden_models import VIT, ibot
from .test_gradient_flow import MOCO

GRID = {**BRANCH, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}
GRAM = dict(type='GramAnchoring')


def run_epoch(model, data, epoch: int, optimizer) -> None:
    """Two steps as the runner makes them: frozen parameters lose their gradient before each."""
    model.start_epoch(epoch)
    model.train()
    frozen = model.frozen(epoch)
    for iteration in range(2):
        terms = losses_of(model, data, 2 * epoch + iteration)
        optimizer.zero_grad()
        sum(value for name, value in terms.items() if name.startswith('loss')).backward()
        # DDP waits for every parameter.
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        for parameter in frozen:
            assert not parameter.grad.any() or all(parameter is not p for p in model.backbone.parameters())
            parameter.grad = None
        optimizer.step()
        model.update_teacher(2 * epoch + iteration, 8)


def differing(before: dict, after: dict) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    'config',
    [
        ibot(
            backbone=dict(VIT, mask_token=True, drop_path_rate=0.3),
            decoupling=GRID,
            terms=[GRAM],
            teacher=dict(momentum=0.9),
        ),
        densecl(decoupling=GRID, teacher=dict(momentum=0.9)),
    ],
    ids=['iBOT-D with Gram', 'DenseCL-D'],
)
def test_the_backbone_keeps_its_bits_until_it_is_trained(data, config):
    model = build({**config, 'frozen_backbone_epochs': 2})
    recorded = []
    model.backbone.register_forward_hook(lambda _, __, outputs: recorded.append(outputs[-1].requires_grad))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3, weight_decay=0.5)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    for epoch in range(2):
        run_epoch(model, data, epoch, optimizer)
    changed = differing(first, model.state_dict())
    assert not {name for name in changed if 'backbone' in name}
    assert {name.partition('.')[0] for name in changed} >= {'neck', 'teacher'} and not any(recorded)
    heads = {name: value.clone() for name, value in model.state_dict().items()}
    run_epoch(model, data, 2, optimizer)
    changed = differing(heads, model.state_dict())
    trained = {f'backbone.{name}' for name, p in model.backbone.named_parameters() if p.requires_grad}
    assert trained <= changed and {f'teacher.{name}' for name in trained} <= changed
    assert all(recorded[-2:]) and model.backbone.training and model.teacher.backbone.training
    assert all(p.requires_grad for p in model.backbone.parameters())


def test_a_frozen_epoch_costs_no_backward_pass_through_the_backbone(data):
    model = build(ibot(frozen_backbone_epochs=1))
    tokens = {}
    for epoch in (0, 1):
        model.start_epoch(epoch)
        model.train()
        stored = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, stored=stored: stored.append(x) or x, lambda x: x):
            losses_of(model, data)
        # Tokens of the blocks are (N, 17, C); the head gets rows.
        tokens[epoch] = sum(tensor.ndim == 3 and tensor.shape[1] == 17 for tensor in stored)
    assert tokens[0] == 0 < tokens[1]


def test_freezing_is_refused_if_nothing_else_would_learn():
    config = dict(MOCO)
    build({**config, 'frozen_backbone_epochs': 1})
    config.pop('neck')
    with pytest.raises(UserError, match='frozen_backbone_epochs must be 0, as nothing else of the method is trained'):
        build({**config, 'frozen_backbone_epochs': 1})

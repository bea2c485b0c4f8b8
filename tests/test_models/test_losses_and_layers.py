"""InfoNCE, the queue, split batch norm and the teacher against formulas written out by hand."""

import math
import sys
from collections import deque

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdecouple.models import EMATeacher, NegativeQueue, SplitBN, info_nce


def unit(*shape: int, dtype=torch.float32) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=1).to(dtype)


@pytest.mark.parametrize('chunk', [2**25, 64, 1])
def test_info_nce_and_its_gradient_equal_cross_entropy_in_float64(chunk, monkeypatch):
    torch.manual_seed(0)
    module = sys.modules['mmdecouple.models.losses.info_nce']
    monkeypatch.setattr(module, '_CHUNK_ELEMENTS', chunk)
    query, positive, negatives = unit(13, 8), unit(13, 8), unit(20, 8)
    weight = torch.rand(13)
    exact = query.double().requires_grad_()
    logits = torch.cat([(exact * positive.double()).sum(1, True), exact @ negatives.double().T], 1) / 0.2
    expected = F.cross_entropy(logits, torch.zeros(13, dtype=torch.long), reduction='none')
    (expected * weight).sum().backward()
    ours = query.clone().requires_grad_()
    value = info_nce(ours, positive, negatives, 0.2)
    (value * weight).sum().backward()
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)


def test_info_nce_refuses_second_derivatives_instead_of_getting_them_wrong():
    query = unit(4, 8).requires_grad_()
    loss = info_nce(query, unit(4, 8), unit(5, 8), 0.2).square().sum()
    (gradient,) = torch.autograd.grad(loss, query, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


def test_queue_holds_the_last_keys_whatever_the_batch_size():
    queue, reference = NegativeQueue(10, 4), None
    reference = deque(queue.keys.clone(), maxlen=10)
    for size in (3, 7, 4, 10, 1, 23, 6):
        keys = unit(size, 4)
        queue.enqueue(keys)
        reference.extend(keys)
        oldest = int(queue.pointer)
        in_order = torch.roll(queue.keys, -oldest, 0)
        torch.testing.assert_close(in_order, torch.stack(list(reference)), rtol=0, atol=0)


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last])
def test_split_bn_normalizes_each_interleaved_group_alone(memory_format):
    torch.manual_seed(0)
    x = torch.randn(12, 5, 3, 2).contiguous(memory_format=memory_format)
    layer = SplitBN(5, group_size=4)
    nn.init.uniform_(layer.weight), nn.init.uniform_(layer.bias)
    plain = [nn.BatchNorm2d(5) for _ in range(3)]
    out = layer(x)
    for group, reference in enumerate(plain):
        reference.weight, reference.bias = layer.weight, layer.bias
        torch.testing.assert_close(out[group::3], reference(x[group::3]))
    mean = torch.stack([reference.running_mean for reference in plain]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean)
    layer.eval()
    whole = nn.BatchNorm2d(5).eval()
    whole.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), whole(x))


@pytest.mark.parametrize('batch, groups', [(31, 1), (40, 1), (64, 2), (256, 8), (320, 10), (300, 6), (257, 1)])
def test_split_bn_makes_groups_of_at_least_the_batch_of_one_device(batch, groups):
    assert SplitBN(5).groups_of(batch) == groups


def test_teacher_follows_the_average_by_hand_and_keeps_its_own_statistics():
    torch.manual_seed(0)
    student = dict(body=nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)))
    teacher = EMATeacher(student, momentum=0.9)
    expected = [p.detach().double().clone() for p in student['body'].parameters()]
    for step in range(3):
        for p in student['body'].parameters():
            p.data.add_(torch.randn_like(p))
        student['body'](torch.randn(4, 3))
        teacher.update(student, step, 10)
        expected = [0.9 * e + 0.1 * p.detach().double() for e, p in zip(expected, student['body'].parameters())]
    for e, p in zip(expected, teacher.body.parameters()):
        torch.testing.assert_close(p.double(), e, rtol=1e-6, atol=1e-6)
        assert not p.requires_grad
    assert int(teacher.body[1].num_batches_tracked) == 0


def test_a_teacher_of_which_the_head_is_averaged_has_the_backbone_of_the_student():
    torch.manual_seed(0)
    student = dict(backbone=nn.Linear(3, 3), neck=nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    whole, head = EMATeacher(student, momentum=0.9), EMATeacher(student, momentum=0.9, averaged=('neck',))
    for step in range(3):
        for p in (p for module in student.values() for p in module.parameters()):
            p.data.add_(torch.randn_like(p))
        for teacher in (whole, head):
            teacher.update(student, step, 10)
        assert all(torch.equal(*pair) for pair in zip(head.backbone.parameters(), student['backbone'].parameters()))
        assert all(torch.equal(*pair) for pair in zip(head.neck.parameters(), whole.neck.parameters()))
        assert not torch.equal(head.neck[0].weight, student['neck'][0].weight)
    own = {p.data_ptr() for p in head.parameters()}
    assert not own & {p.data_ptr() for module in student.values() for p in module.parameters()}
    assert head.state_dict().keys() == whole.state_dict().keys()


def test_cosine_momentum_goes_from_start_to_end_through_the_middle():
    teacher = EMATeacher(dict(body=nn.Linear(2, 2)), momentum=0.99, end_momentum=1.0)
    assert teacher.momentum_at(0, 100) == pytest.approx(0.99)
    assert teacher.momentum_at(50, 100) == pytest.approx(0.995)
    assert teacher.momentum_at(25, 100) == pytest.approx(1 - 0.01 * (math.cos(math.pi / 4) + 1) / 2)
    assert teacher.momentum_at(100, 100) == pytest.approx(1.0)

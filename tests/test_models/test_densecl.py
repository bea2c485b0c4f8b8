"""DenseCL and MoCo v2 against mmpretrain's classes, and the contracts between method, teacher and branch."""

import dataclasses

import pytest
import torch
from mmpretrain.registry import MODELS as MMPRETRAIN
from mmpretrain.utils import register_all_modules

from .conftest import BRANCH, NECK, RESNET, batch, begun, build, densecl, losses_of
from .golden_models import ibot

MOCO_NECK = dict(type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=32, out_channels=16)


def upstream(ours, kind: str):
    """Mmpretrain's model of the same kind with the weights and queues of `ours`."""
    register_all_modules(init_default_scope=False)
    cfg = dict(
        type=kind,
        backbone={**RESNET, 'type': 'ResNet'},
        queue_len=32,
        feat_dim=16,
        momentum=0.001,
        neck={**(NECK if kind == 'DenseCL' else MOCO_NECK)},
        head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
    )
    cfg['neck']['type'] = cfg['neck']['type'].split('.')[1]
    theirs = MMPRETRAIN.build({**cfg, '_scope_': 'mmpretrain'})
    theirs.backbone.load_state_dict(ours.backbone.state_dict())
    theirs.neck.load_state_dict(ours.neck.state_dict())
    theirs.queue.copy_(ours.queue.keys.T)
    if kind == 'DenseCL':
        theirs.queue2.copy_(ours.dense_queue.keys.T)
    return theirs.train()


@pytest.mark.parametrize('kind', ['DenseCL', 'MoCo'])
def test_losses_gradients_and_queues_equal_mmpretrains_over_three_steps(kind, data):
    cfg = densecl() if kind == 'DenseCL' else {**densecl(), 'type': 'MoCoV2', 'neck': MOCO_NECK}
    ours = build(cfg).train()
    theirs = upstream(ours, kind)
    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], 0.1) for m in (ours, theirs)]
    for step in range(3):
        if step:
            ours.update_teacher(step, 10)
        losses = losses_of(ours, batch(seed=step), step)
        reference = theirs.loss(ours.data_preprocessor(batch(seed=step), True)['inputs'], None)
        assert len(losses) == len(reference)
        for value, expected in zip(losses.values(), reference.values()):
            torch.testing.assert_close(value, expected, rtol=1e-6 * 10**step, atol=1e-6 * 10**step)
        for optimizer, terms in zip(optimizers, (losses, reference)):
            optimizer.zero_grad()
            sum(terms.values()).backward()
            optimizer.step()
        torch.testing.assert_close(ours.queue.keys, theirs.queue.T, rtol=1e-4, atol=1e-5)
    for p, q in zip(ours.backbone.parameters(), theirs.backbone.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('num_grid', [2, 4])
def test_num_grid_pools_the_map_before_matching(num_grid, data):
    branch = {**BRANCH, 'mask': {**BRANCH['mask'], 'grid': 2}}
    model = build(densecl(neck={**NECK, 'num_grid': num_grid}, decoupling=branch)).train()
    seen = []
    model.match, match = lambda step: seen.append(match(step)) or seen[-1], model.match
    losses = losses_of(model, data)
    assert seen[0].shape == (8, num_grid**2) and int(seen[0].max()) < num_grid**2
    assert all(torch.isfinite(value) for value in losses.values())


def test_lambda_zero_is_the_base_method_bit_for_bit(data):
    runs = {}
    for name, branch in (('base', None), ('zero', {**BRANCH, 'loss_weight': 0.0})):
        model = build(densecl(decoupling=branch)).train()
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
        for step in range(3):
            losses = losses_of(model, data, step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
            model.update_teacher(step, 3)
        runs[name] = (losses, model.state_dict())
    assert runs['base'][0].keys() == runs['zero'][0].keys()
    for key, value in runs['base'][1].items():
        assert torch.equal(value, runs['zero'][1][key]), key


def test_teacher_never_sees_the_decoupled_view_and_no_queue_takes_it_in(data):
    model = build(densecl(decoupling={**BRANCH, 'ratio': 1.0})).train()
    batches = {'student': [], 'teacher': []}
    model.backbone.register_forward_pre_hook(lambda _, args: batches['student'].append(args[0]))
    model.teacher.backbone.register_forward_pre_hook(lambda _, args: batches['teacher'].append(args[0]))
    step = begun(model, data)
    before = model.queue.keys.clone()
    model.loss(step)
    assert len(batches['student']) == len(batches['teacher']) == 1
    key = step.views[1]
    assert sorted(map(float, batches['teacher'][0].sum((1, 2, 3)))) == pytest.approx(
        sorted(map(float, key.sum((1, 2, 3)))), rel=1e-5
    )
    assert torch.equal(batches['student'][0], torch.cat([step.views[0], step.decoupled.images]))
    assert int(model.queue.pointer) == int(model.dense_queue.pointer) == 8
    assert torch.equal(model.queue.keys[8:], before[8:])


def test_decoupling_loss_equals_point_to_point_nce_by_hand(data):
    model = build(densecl(decoupling=BRANCH)).train()
    step = begun(model, data)
    decoupled, queue = step.decoupled, model.dense_queue.keys.double().clone()
    outputs = {}
    model.neck.register_forward_hook(lambda _, __, out: outputs.update(student=out[1].double()))
    model.flow = dataclasses.replace(model.flow, shuffle=False)
    model.teacher.neck.register_forward_hook(lambda _, __, out: outputs.update(teacher=out[1].double()))
    value = model.loss(step)['decoupling']
    student, teacher = outputs['student'][8:], outputs['teacher'][decoupled.rows]
    total = []
    for d in range(len(student)):
        terms = []
        for j in range(16):
            if not decoupled.cut_mask[d].flatten()[j]:
                q, k = student[d, :, j], teacher[d, :, j]
                q, k = q / q.norm(), k / k.norm()
                match = torch.exp(q @ k / 0.2)
                terms.append(-torch.log(match / (match + torch.exp(queue @ q / 0.2).sum())))
        total.append(sum(terms) / len(terms))
    assert value.item() == pytest.approx(float(sum(total) / len(total)), rel=1e-5)


def test_one_seed_and_iteration_give_one_loss_and_another_iteration_another(data):
    model = build(densecl(decoupling=BRANCH)).train()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    values = []
    for iteration in (5, 5, 6):
        model.load_state_dict(state)
        values.append(losses_of(model, data, iteration)['decoupling'].item())
    assert values[0] == values[1] != values[2]


def test_measured_map_is_the_last_stage_on_an_enlarged_map():
    cfg = densecl(backbone={**RESNET, 'strides': (1, 2, 2)})
    model = build(cfg).eval()
    images = torch.randn(2, 3, 64, 64)
    features = model.dense_features(images)
    assert features.shape == (2, 32, 8, 8)
    b = model.teacher.backbone
    x = b.layer2(b.layer1(b.maxpool(torch.relu(b.bn1(b.conv1(images))))))
    x = torch.nn.functional.interpolate(x, size=(16, 16), mode='bilinear', align_corners=False)
    torch.testing.assert_close(features, b.layer3(x))
    model.backbone.conv1.weight.data.zero_()
    assert torch.equal(model.dense_features(images), features)
    model.measured = 'student'
    assert not torch.equal(model.dense_features(images), features)


def test_predict_takes_images_of_different_sizes_and_keeps_their_order():
    model = build(densecl()).eval()
    images = [torch.randint(0, 256, (3, 32, size), dtype=torch.uint8) for size in (32, 64, 32)]
    samples = model.test_step(dict(inputs=images, data_samples=None))
    assert [tuple(sample.dense.shape) for sample in samples] == [(32, 4, 4), (32, 4, 8), (32, 4, 4)]
    alone = model.test_step(dict(inputs=images[2:], data_samples=None))[0].dense
    torch.testing.assert_close(samples[2].dense, alone, rtol=1e-4, atol=1e-4)


def test_weights_of_a_student_alone_start_the_teacher_too():
    donor, model = build(densecl(), seed=1), build(densecl(), seed=2)
    model.load_state_dict({k: v for k, v in donor.state_dict().items() if k.startswith('backbone.')}, strict=False)
    assert torch.equal(model.teacher.backbone.conv1.weight, donor.backbone.conv1.weight)
    donor.teacher.backbone.conv1.weight.data.zero_()
    model.load_state_dict(donor.state_dict())
    assert not model.teacher.backbone.conv1.weight.any()


def test_a_method_without_dense_loss_cannot_be_decoupled():
    with pytest.raises(ValueError, match='MoCoV2: decoupling needs a dense loss.*model.decoupling'):
        build({**densecl(), 'type': 'MoCoV2', 'neck': MOCO_NECK, 'decoupling': BRANCH})


def test_twenty_steps_lower_the_loss(data):
    model = build(densecl(decoupling=BRANCH, teacher=dict(momentum=0.9))).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    values = []
    for step in range(20):
        losses = losses_of(model, data, step)
        total = sum(v for k, v in losses.items() if k.startswith('loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        model.update_teacher(step, 20)
        values.append(total.item())
    assert sum(values[-4:]) < 0.95 * sum(values[1:5])


@pytest.mark.parametrize(
    'config, shuffled',
    [
        (densecl(), True),
        (dict(type='MoCoV2', backbone=RESNET, queue_length=32, channels=16, neck=MOCO_NECK), True),
        (ibot(), False),
    ],
    ids=['DenseCL', 'MoCo v2', 'iBOT'],
)
def test_only_teachers_with_batch_norm_see_the_batch_in_another_order(config, shuffled):
    model, data = build(config).train(), batch(16)
    seen = []
    model.teacher.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    losses_of(model, data)
    clean = model.data_preprocessor(data, False)['inputs']
    expected = clean[1] if shuffled else torch.cat(clean)
    order = [int((expected == image).flatten(1).all(1).nonzero()) for image in seen[0]]
    assert len(seen) == 1 and sorted(order) == list(range(len(expected)))
    assert (order != sorted(order)) == shuffled

"""MaskAlign and MaskAlign-D against the authors' code (golden numbers) and against the contracts of the package."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import get_state_dict

from mmdecouple.models import Samples, Step
from mmdecouple.registry import MODELS
from mmdecouple.weights.formats.vit import to_ours

from .conftest import BRANCH, batch, begun, build, forwarded, losses_of
from .golden import formula
from .golden_models import load

GOLDEN = load('maskalign')
BRANCH = {**BRANCH, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}
STUDENT = dict(
    type='DenseViT',
    img_size=32,
    patch_size=8,
    position='sincos',
    arch=dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64),
)
TEACHER = dict(
    type='DenseViT',
    img_size=32,
    patch_size=8,
    pre_norm=True,
    arch=dict(embed_dims=48, num_layers=3, num_heads=2, feedforward_channels=64),
)


def maskalign(**kwargs) -> dict:
    """Config of a tiny MaskAlign for 32 pixel views: 4 x 4 patches, the last two of three levels."""
    return {
        **dict(
            type='MaskAlign',
            backbone=STUDENT,
            teacher=dict(backbone=TEACHER, checkpoint='random'),
            neck=dict(
                type='DynamicAlignment', in_channels=32, out_channels=48, student_depth=3, teacher_depth=3, levels=2
            ),
        ),
        **kwargs,
    }


@pytest.fixture
def data() -> dict:
    return batch(views=1)


def golden_model():
    """A MaskAlign with the official tiny student of the golden file; its teacher is given by formula."""
    student = dict(STUDENT, arch=dict(embed_dims=32, num_layers=12, num_heads=2, feedforward_channels=128))
    teacher = dict(TEACHER, arch=dict(embed_dims=16, num_layers=12, num_heads=2, feedforward_channels=16))
    model = build(
        maskalign(
            backbone=student,
            teacher=dict(backbone=teacher, checkpoint='random'),
            neck=dict(type='DynamicAlignment', in_channels=32, out_channels=768),
        )
    )
    positions = model.backbone.pos_embed.detach().clone()
    official = formula.weights('student', GOLDEN['weights'])
    official['pos_embed'] = positions
    weights = to_ours(dict(model=official))
    model.backbone.load_state_dict(weights.backbone)
    neck = {name.removeprefix('neck.'): value for name, value in weights.rest.items()}
    model.neck.load_state_dict(neck)
    return model.train()


def golden_teacher() -> dict[str, torch.Tensor]:
    """What `MaskAlign.teacher_forward` gives for the teacher states of the golden file."""
    states = [formula.tensor(f'teacher state {i}', (3, 17, 768), 2) for i in range(8, 13)]
    levels = F.layer_norm(torch.stack(states, 2), (768,)).flatten(2)
    attention = (1 + formula.tensor('attention', (3, 2, 17, 17), 0.9))[:, :, 0, 1:].mean(1)
    return {'class': levels[:, 0], 'dense': levels[:, 1:], 'attention': attention}


def check_gradients(model, expected: dict) -> None:
    ours = {
        'cls_token': model.backbone.cls_token,
        'distill_weights': model.neck.weights,
        'patch_embed.proj.weight': model.backbone.patch_embed.projection.weight,
        'blocks.0.attn.qkv.weight': model.backbone.layers[0].attn.qkv.weight,
        'blocks.11.mlp.fc2.weight': model.backbone.layers[11].ffn.layers[1].weight,
        'distill_heads.7.weight': model.neck.heads[0].weight,
        'distill_heads.11.bias': model.neck.heads[4].bias,
    }
    expected = dict(expected)
    rows = expected.pop('distill_weights by row')
    assert {name: ours[name].grad.norm().item() for name in expected} == pytest.approx(expected, rel=2e-5)
    assert model.neck.weights.grad.norm(dim=1).tolist() == pytest.approx(rows[-5:], rel=2e-5)


def test_loss_of_given_states_equals_the_official_one():
    model, case = golden_model(), GOLDEN['loss of given states']
    blocks = [formula.tensor(f'student state {i}', (3, 5, 32)) for i in range(12)]
    student = {'mixed': model.neck.mix(blocks), 'visible': torch.tensor(GOLDEN['kept cells'])}
    loss = model.base_loss(Step([], Samples(), student=student, teacher=golden_teacher()))['loss_align']
    assert loss.item() == pytest.approx(case['loss'], rel=1e-5)
    loss.backward()
    check_gradients(model, case['gradient norms'])


def test_a_whole_step_equals_the_official_one():
    model, case = golden_model(), GOLDEN['whole forward']
    teacher = golden_teacher()
    model.draw_visible = lambda attention: torch.tensor(GOLDEN['kept cells'])
    step = Step([formula.image('view 0', 3, 32)], Samples(), teacher=teacher)
    step.student, _ = model.student_forward(step)
    loss = model.base_loss(step)['loss_align']
    assert loss.item() == pytest.approx(case['loss'], rel=1e-5)
    loss.backward()
    check_gradients(model, case['gradient norms'])
    assert teacher['attention'][0].tolist() == pytest.approx(case['importance of image 0'], rel=1e-5)
    positions = case['position embedding of row 1, column 2']
    assert model.backbone.pos_embed[0, 1 + 1 * 4 + 2].tolist()[: len(positions)] == pytest.approx(positions, abs=1e-6)


def test_a_fixed_position_depends_on_its_row_and_column_alone():
    square, wide = (build(dict(STUDENT, img_size=size)).pos_embed[0, 1:] for size in (32, (16, 48)))
    torch.testing.assert_close(wide.view(2, 6, 32)[:, :4], square.view(4, 4, 32)[:2])


def test_pixels_reach_a_clip_teacher_with_clips_statistics():
    teacher = MODELS.build(dict(type='FrozenViT', backbone=TEACHER, checkpoint='random', statistics='clip'))
    seen = []
    teacher.backbone.tokens, tokens = lambda images: seen.append(images) or tokens(images), teacher.backbone.tokens
    teacher(formula.image('view 0', 3, 32))
    expected = GOLDEN['whole forward']['teacher pixels of image 0, row 0, column 0']
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('view', [(64, 64), (24, 40)])
def test_a_teacher_with_a_size_of_its_own_sees_views_at_that_size(view):
    plain, sized = (
        MODELS.build(dict(type='FrozenViT', backbone=TEACHER, checkpoint='random', statistics='clip', input_size=size))
        for size in (None, 32)
    )
    sized.backbone.load_state_dict(plain.backbone.state_dict())
    images = torch.randn(2, 3, *view)
    shown = F.interpolate(images, (32, 32), mode='bicubic', align_corners=False)
    for ours, expected in zip(sized(images), plain(shown)):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_class_attention_is_the_last_blocks_own(data):
    network = build(TEACHER)
    network.eval()
    images = torch.randn(2, 3, 32, 32)
    blocks = network.blocks(network.tokens(images)[0])
    layer = network.layers[-1]
    q, k, v = layer.attn.qkv(layer.ln1(blocks[-2])).unflatten(2, (3, 2, 24)).permute(2, 0, 3, 1, 4)
    attention = (q @ k.transpose(2, 3) / 24**0.5).softmax(-1)
    fused = F.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attention @ v, fused)
    torch.testing.assert_close(network.class_attention(blocks[-2]), attention[:, :, 0, 1:])


def test_visible_patches_are_drawn_as_by_multinomial():
    model = build(maskalign(mask_ratio=0.75))
    weight = torch.tensor([[5.0, 3, 1, 0.5] * 4]).expand(40000, -1)
    torch.manual_seed(0)
    ours, reference = model.draw_visible(weight), torch.multinomial(weight, 4)
    assert ours.shape == (40000, 4) and all(len(row.unique()) == 4 for row in ours[:100])
    for first in (1, 4):
        shares = [torch.bincount(drawn[:, :first].flatten(), minlength=16) / 40000 for drawn in (ours, reference)]
        torch.testing.assert_close(*shares, rtol=0, atol=0.015)
    model.masking = 'random'
    shares = torch.bincount(model.draw_visible(weight).flatten(), minlength=16) / 40000
    torch.testing.assert_close(shares, torch.full((16,), 0.25), rtol=0, atol=0.015)


def test_decoupling_loss_equals_eq_15_by_hand(data):
    model = build(maskalign(decoupling=BRANCH)).train()
    step = begun(model, data)
    decoupled, view = step.decoupled, step.views[0]
    torch.manual_seed(0)
    value = model.loss(step)['decoupling'].item()
    levels, _ = model.teacher(view)
    blocks = torch.stack(model.backbone.blocks(model.backbone.tokens(decoupled.images)[0]))
    total = []
    for d, row in enumerate(decoupled.rows.tolist()):
        terms = []
        for j in (~decoupled.cut_mask[d]).flatten().nonzero().flatten().tolist():
            for level in range(2):
                mixed = (model.neck.weights[level][:, None] * blocks[:, d, 1 + j]).sum(0)
                difference = (model.neck.heads[level](mixed) - levels[row, 1 + j, level]).double().abs()
                terms.append(2 * torch.where(difference < 1, difference**2 / 2, difference - 0.5).mean())
        total.append(sum(terms) / len(terms))
    assert value == pytest.approx((sum(total) / len(total)).item(), rel=1e-5)


def test_drop_keeps_all_of_the_foreground_and_part_of_the_background(data):
    full, half, none = (build(maskalign(decoupling=BRANCH, drop=drop)).train() for drop in (0.0, 0.5, 1.0))
    foreground = begun(full, data).decoupled.foreground
    mask, most = foreground.mask, foreground.max_per_view
    assert half._seen(foreground).shape == (len(mask), most + round((16 - most) / 2))
    assert none._seen(foreground).shape == (len(mask), most)
    for model in (half, none):
        seen = torch.zeros_like(mask).scatter(1, model._seen(foreground), 1.0)
        assert bool((seen >= mask).all())
    lengths = []
    none.backbone.layers[0].register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    none.data_preprocessor.set_step(0, 0, 1)
    losses = losses_of(none, data, 1)
    losses['loss_decoupling'].backward()
    assert lengths[0] == 1 + 4 and 1 < lengths[1] <= 16
    assert none.backbone.cls_token.grad is not None


def test_dropped_positions_do_not_change_which_features_meet(data):
    model = build(maskalign(decoupling=BRANCH, drop=1.0)).eval()
    step = forwarded(model, begun(model, data))
    seen = model._seen(step.decoupled.foreground)
    tokens, _ = model.backbone.tokens(step.decoupled.images)
    alone = torch.cat([tokens[:1, :1], tokens[:1, 1:][:, seen[0].sort().values]], 1)
    expected = model.neck.mix(model.backbone.blocks(alone))[:, 1:]
    torch.testing.assert_close(step.dense[:1, seen[0].sort().values], expected, rtol=1e-4, atol=1e-5)


def test_lambda_zero_is_the_base_method_bit_for_bit(data):
    runs = []
    for branch in (None, {**BRANCH, 'loss_weight': 0.0}):
        model = build(maskalign(decoupling=branch, backbone=dict(STUDENT, drop_path_rate=0.2))).train()
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-2)
        for step in range(3):
            losses = losses_of(model, data, step)
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        runs.append(model.state_dict())
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


def test_every_trained_parameter_gets_a_gradient_and_the_teacher_is_no_part_of_the_state(data):
    model = build(maskalign(decoupling=BRANCH)).train()
    losses = losses_of(model, data)
    sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert not any(p.requires_grad for p in model.teacher.parameters()) and not model.teacher.training
    for state in (model.state_dict(), get_state_dict(model)):
        assert state and not [name for name in state if name.startswith('teacher')]
    before = model.teacher.backbone.cls_token.clone()
    model.load_state_dict(model.state_dict())
    assert torch.equal(model.teacher.backbone.cls_token, before)


def test_a_teacher_from_a_file_is_read_when_training_starts(tmp_path):
    source = build(TEACHER, seed=5)
    torch.save(source.state_dict(), tmp_path / 'teacher.pth')
    cfg = maskalign(teacher=dict(backbone=TEACHER, checkpoint=str(tmp_path / 'teacher.pth')))
    model = build(cfg)
    for name, value in source.state_dict().items():
        assert torch.equal(model.teacher.backbone.state_dict()[name], value)


@pytest.mark.parametrize('fusion', ['linear', 'sum'])
def test_each_level_starts_from_its_own_block_or_from_the_mean_of_all(fusion):
    """Maskalign's `models_pretrain.py`: the identity of the last blocks plus 0.01, or equal shares."""
    model = build(maskalign(neck=dict(NECK, fusion=fusion)))
    model.init_weights()
    for level, row in enumerate(model.neck.weights.tolist()):
        own = [block == 3 - len(model.neck.weights) + level for block in range(3)]
        assert row == pytest.approx([1.01 if here else 0.01 for here in own] if fusion == 'linear' else [1 / 3] * 3)


def test_a_model_without_its_teachers_file_can_still_be_measured():
    model = MODELS.build(maskalign(teacher=dict(backbone=TEACHER, checkpoint='none.pth')))
    model.init_weights()
    model.eval()
    images = list(batch(views=1)['inputs'][0])
    assert model.test_step(dict(inputs=images, data_samples=None))[0].dense.shape == (32, 4, 4)


def test_twenty_steps_lower_every_term(data):
    model = build(maskalign(decoupling=BRANCH)).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    values = []
    for _ in range(20):
        losses = losses_of(model, data, 0)
        terms = {name: value for name, value in losses.items() if name.startswith('loss')}
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
        values.append({name: value.item() for name, value in terms.items()})
    assert all(values[-1][name] < 0.9 * first for name, first in values[0].items())


NECK = maskalign()['neck']


@pytest.mark.parametrize(
    'options, words',
    [
        (
            dict(backbone=dict(STUDENT, patch_size=16)),
            r'student has a grid of 2 x 2 patches and the teacher one of 4 x 4',
        ),
        (dict(neck=dict(NECK, teacher_depth=4)), r"student has 3 blocks and the teacher 4; use 'sum'"),
        (dict(neck=dict(NECK, teacher_depth=4, fusion='sum')), r'the neck expects 4 .*model\.neck\.teacher_depth'),
        (dict(neck=dict(NECK, levels=4)), r'levels must lie in \[1, 3\]'),
        (dict(mask_ratio=1.0), r'mask_ratio must lie in'),
        (dict(masking='center'), r'masking must be one of attention, random'),
        (dict(measured='teacher'), r'foreign network that is not part of checkpoints; measure the student'),
        (dict(drop=1.5), r'drop must lie in \[0, 1\], got 1\.5 .config key model\.drop'),
        (dict(decoupling=dict(BRANCH, mixing='embedding')), r"'embedding' is for methods.*model\.decoupling\.mixing"),
        (dict(teacher=dict(backbone=TEACHER, statistics='none')), r'statistics must be one of imagenet, clip'),
        (dict(teacher=dict(backbone=TEACHER, checkpoint='none.pth')), r"'none\.pth'.*model\.teacher\.checkpoint"),
        (dict(teacher=dict(backbone=TEACHER)), r'no weight file is configured.*model\.teacher\.checkpoint'),
    ],
)
def test_bad_settings_give_one_line(options, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words) as caught:
        build(maskalign(**options))
    assert '\n' not in str(caught.value)


def test_a_teacher_file_with_missing_keys_is_refused(tmp_path):
    weights = {name: value for name, value in build(TEACHER).state_dict().items() if name != 'layers.1.attn.qkv.weight'}
    torch.save(weights, tmp_path / 'teacher.pth')
    with pytest.raises(ValueError, match=r'teacher\.pth.*layers\.1\.attn\.qkv\.weight') as caught:
        build(maskalign(teacher=dict(backbone=TEACHER, checkpoint=str(tmp_path / 'teacher.pth'))))
    assert '\n' not in str(caught.value)

"""ViTs with registers, LayerScale, SwiGLU and rotary positions, in all methods; ViTs without them are mmpretrain's."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmpretrain.models import VisionTransformer

from mmdecouple.models import DenseViT
from mmdecouple.utils.errors import UserError

from . import test_device, test_leopart, test_maskalign
from .conftest import batch, build
from .golden_models import ibot

SIZES = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)
DINOV2 = dict(register_tokens=3, antialias=True, layer_scale_init_value=0.1)
DINOV3 = dict(
    position='rope',
    rope=dict(rescale=2.0),
    register_tokens=2,
    key_bias=False,
    layer_scale_init_value=0.1,
    layer_cfgs=dict(ffn_type='swiglu_fused'),
    norm_cfg=dict(type='LN', eps=1e-5),
)
MODERN = pytest.mark.parametrize('modern', [DINOV2, DINOV3], ids=['registers', 'RoPE'])


def vit(**options) -> DenseViT:
    torch.manual_seed(0)
    model = DenseViT(**dict(arch=SIZES, img_size=32, patch_size=8, mask_token=True) | options)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    model.eval()
    return model


@settings(max_examples=12, deadline=None)
@given(
    patch=st.sampled_from([4, 7, 8]),
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    view=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    drop=st.sampled_from([0.0, 0.3]),
    pre_norm=st.booleans(),
    scale=st.sampled_from([0.0, 0.1]),
    qkv_bias=st.booleans(),
)
def test_a_vit_of_mmpretrain_has_the_same_weights_and_outputs_to_the_bit(
    patch, grid, view, drop, pre_norm, scale, qkv_bias
):
    options = dict(
        arch=SIZES,
        img_size=tuple(patch * side for side in grid),
        patch_size=patch,
        drop_path_rate=drop,
        pre_norm=pre_norm,
        layer_scale_init_value=scale,
        qkv_bias=qkv_bias,
    )
    models = []
    for kind, more in ((DenseViT, {}), (VisionTransformer, dict(out_type='raw'))):
        torch.manual_seed(0)
        models.append(kind(**options, **more))
        torch.nn.init.normal_(models[-1].pos_embed)
    ours, theirs = models
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    images = torch.randn(2, 3, *(patch * side for side in view))
    for training in (False, True):
        outputs = []
        for model in models:
            model.train(training)
            torch.manual_seed(1)
            outputs.append(model(images)[0])
        assert torch.equal(*outputs)


@MODERN
def test_the_attention_of_the_class_token_is_that_of_the_whole_attention(modern):
    model, images = vit(**modern), torch.randn(2, 3, 40, 24)
    tokens, grid = model.tokens(images)
    rotation, layer = model.rotation(grid), model.layers[-1]
    before = layer.ln1(model.blocks(tokens, 2, rotation)[-1])
    bias = layer.attn.qkv.bias.detach().clone()
    if not modern.get('key_bias', True):
        bias[32:64] = 0
    query, key, _ = F.linear(before, layer.attn.qkv.weight, bias).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    if rotation is not None:
        query, key = rotation.apply(query), rotation.apply(key)
    whole = (query @ key.transpose(2, 3) / 4).softmax(-1)
    found = model.class_attention(model.blocks(tokens, 2, rotation)[-1], rotation)
    torch.testing.assert_close(found, whole[:, :, 0, model.num_extra_tokens :])


@MODERN
def test_a_partial_pass_gives_the_needed_tokens_of_the_whole_pass_and_recomputing_changes_nothing(modern):
    model, images = vit(**modern), torch.randn(2, 3, 32, 32)
    (whole,) = model(images)
    assert whole.shape == (2, model.num_extra_tokens + 16, 32)
    needed = torch.tensor([0, 5, 9, 25, 30])
    (partial,) = model(images, needed=needed)
    torch.testing.assert_close(partial.flatten(0, 1)[needed], whole.flatten(0, 1)[needed])
    assert not partial.flatten(0, 1)[[1, 2, 3, 4]].any()
    gradients = []
    for with_cp in (False, True):
        model.with_cp = with_cp
        model.train()
        model.zero_grad()
        torch.manual_seed(2)
        model(images)[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(*pair) for pair in zip(*gradients))


@MODERN
def test_dense_maps_leave_out_registers_and_a_mask_replaces_patches(modern):
    model, images = vit(**modern), torch.randn(2, 3, 40, 24)
    tokens, extra = model(images)[0], model.num_extra_tokens
    last, second = model.dense_maps(images, [None, '2'])
    assert torch.equal(last.flatten(2), tokens[:, extra:].transpose(1, 2)) and second.shape == (2, 32, 5, 3)
    (token,) = model.dense_maps(images, [None], class_token=True)
    assert torch.equal(token[..., 0, 0], tokens[:, 0])
    mask = torch.zeros(2, 5, 3, dtype=torch.bool)
    mask[:, 1, 2] = True
    changed = images.clone()
    changed[:, :, 8:16, 16:24] += 1
    assert torch.equal(model(images, mask)[0], model(changed, mask)[0])
    assert not torch.equal(model(images)[0], model(images, mask)[0])


def test_a_key_without_bias_ignores_it_and_passes_no_gradient_to_it():
    model, images = vit(**DINOV3), torch.randn(1, 3, 32, 32)
    (before,) = model(images)
    for layer in model.layers:
        layer.attn.qkv.bias.data[32:64] += 1
    assert torch.equal(model(images)[0], before)
    model(images)[0].sum().backward()
    assert all(not layer.attn.qkv.bias.grad[32:64].any() for layer in model.layers)
    assert all(layer.attn.qkv.bias.grad[:32].any() for layer in model.layers)


def test_stochastic_depth_also_drops_the_path_of_a_swiglu():
    model = vit(**DINOV3, drop_path_rate=0.5)
    model.train()
    block, tokens = model.layers[-1], torch.randn(200, 5, 32)
    block.attn.out_drop.drop_prob = 0.0
    changed = (block.ffn(tokens, identity=tokens) != tokens).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.12)


def test_blocks_of_rotary_positions_require_the_rotation():
    model = vit(**DINOV3)
    with pytest.raises(ValueError, match='requires the argument rotation'):
        model.blocks(model.tokens(torch.zeros(1, 3, 32, 32))[0])


@MODERN
def test_blocks_have_no_graph_break(modern):
    model = vit(**modern)
    torch._dynamo.reset()
    found = torch._dynamo.explain(model)(torch.randn(2, 3, 32, 32))
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def modern_methods(modern: dict) -> list:
    student = dict(arch=SIZES, **modern)
    mask = test_device.GRID
    align = test_maskalign.maskalign()
    teacher = dict(backbone={**align['teacher']['backbone'], **modern}, checkpoint='random')
    return [
        (ibot(backbone={**ibot()['backbone'], **student}, decoupling=mask, local_views=2), test_device.multi_crop()),
        (ibot(backbone={**ibot()['backbone'], **student}, decoupling={**mask, 'mixing': 'embedding'}), batch()),
        (
            test_leopart.leopart(backbone={**test_leopart.leopart()['backbone'], **student}, decoupling=mask),
            test_leopart.data(),
        ),
        (
            test_maskalign.maskalign(
                backbone={**align['backbone'], **modern, 'position': modern.get('position', 'sincos')},
                teacher=teacher,
                decoupling={**mask, 'ratio': 0.5},
                drop=0.5,
            ),
            batch(views=1),
        ),
    ]


@MODERN
@pytest.mark.parametrize('method', range(4), ids=['iBOT-D multi-crop', 'iBOT-D embedding', 'Leopart-D', 'MaskAlign-D'])
def test_every_method_trains_a_modern_vit_without_reading_on_the_host(modern, method, monkeypatch):
    config, data = modern_methods(modern)[method]
    test_device.test_a_step_reads_nothing_on_the_host_and_mixes_no_devices(config, data, monkeypatch)


@MODERN
def test_maskalign_gives_visible_patches_the_features_that_they_have_beside_all_others_removed(modern):
    align = test_maskalign.maskalign()
    model = build(
        test_maskalign.maskalign(backbone={**align['backbone'], **modern, 'position': modern.get('position', 'sincos')})
    ).eval()
    backbone, images = model.backbone, torch.randn(2, 3, 32, 32)
    tokens, grid = backbone.tokens(images)
    everything = torch.arange(16).expand(2, -1).flip(1)
    mixed = model._mixed(tokens, grid, everything)
    whole = model.neck.mix(backbone.blocks(tokens, rotation=backbone.rotation(grid)))
    torch.testing.assert_close(mixed[:, 0], whole[:, 0])
    torch.testing.assert_close(mixed[:, 1:].flip(1), whole[:, backbone.num_extra_tokens :], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (dict(rope=dict(base=10.0)), "rope is only used with position='rope', got position='learned'"),
        (dict(register_tokens=-1), 'register_tokens must be a whole number of at least 0, got -1'),
        (dict(layer_cfgs=dict(ffn_type='gated')), 'layer_cfgs.ffn_type must be one of origin, swiglu_fused'),
        (dict(position='rope', arch=dict(SIZES, embed_dims=36, num_heads=6)), 'head_channels must be a multiple of 4'),
        (dict(arch=dict(SIZES, num_heads=5)), 'arch must have embed_dims that num_heads divides, got 32 and 5'),
        (dict(patch_size=7), 'a patch of 7 pixels does not divide a view of 32 x 32 pixels'),
        (dict(position='rope', rope=dict(rescale=0.5)), r'rescale must be .* at least 1.* model.backbone.rope.rescale'),
        (dict(in_channels=0), 'in_channels must be a whole number of at least 1, got 0'),
    ],
)
def test_wrong_settings_are_refused_in_one_line(options, line):
    with pytest.raises(UserError, match=line) as error:
        vit(**options)
    assert len(str(error.value).splitlines()) == 1


def test_a_view_that_the_patch_does_not_divide_is_refused():
    with pytest.raises(UserError, match='a patch of 8 pixels does not divide a view of 32 x 36 pixels'):
        vit(**DINOV3)(torch.zeros(1, 3, 32, 36))


@MODERN
def test_more_input_channels_are_taken(modern):
    model = vit(**modern, in_channels=5)
    assert model(torch.randn(1, 5, 32, 32))[0].shape == (1, 16 + model.num_extra_tokens, 32)

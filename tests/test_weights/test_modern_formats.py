"""DINOv2 and DINOv3 in the formats of timm, Hugging Face and Meta: equal features, and equal files after a return."""

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from mmdecouple.models import DenseViT
from mmdecouple.networks.published import published_network
from mmdecouple.utils.errors import UserError
from mmdecouple.weights.conversion import convert
from mmdecouple.weights.formats.vit import from_ours, own_checkpoint, to_ours
from mmdecouple.weights.formats.vit_arch import describe_vit

transformers = pytest.importorskip('transformers')
TIMM = [
    'vit_small_patch14_dinov2',
    'vit_small_patch14_reg4_dinov2',
    'vit_giant_patch14_dinov2',
    'vit_giant_patch14_reg4_dinov2',
    'vit_small_patch16_dinov3',
    'vit_small_patch16_dinov3_qkvb',
    'vit_small_plus_patch16_dinov3',
    'vit_small_plus_patch16_dinov3_qkvb',
]
GATED = dict(use_gated_mlp=True, hidden_act='silu')
HUGGINGFACE = {
    'dinov2': ('Dinov2', {}),
    'dinov2 giant': ('Dinov2', dict(use_swiglu_ffn=True)),
    'dinov2 registers': ('Dinov2WithRegisters', {}),
    'dinov2 giant registers': ('Dinov2WithRegisters', dict(use_swiglu_ffn=True)),
    'dinov3': ('DINOv3ViT', dict(num_register_tokens=4)),
    'dinov3 plus': ('DINOv3ViT', dict(num_register_tokens=4, **GATED)),
}
TINY = (2, 192, 3)
# Depth, width, heads of S and B.
PUBLISHED = [(12, 384, 6), (12, 768, 12)]
SIZES = [TINY, *(pytest.param(size, marks=pytest.mark.slow) for size in PUBLISHED)]


def randomized(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.1)
        if any(part in name for part in ('norm', 'gamma', 'lambda')) and not name.endswith('bias'):
            parameter.data.add_(1)
    return model.eval()


def timm_model(name: str, size: tuple = TINY) -> torch.nn.Module:
    depth, width, heads = size
    side = 5 * (14 if 'dinov2' in name else 16)
    shape = dict(depth=depth, embed_dim=width, num_heads=heads, img_size=side)
    return randomized(timm.create_model(name, num_classes=0, dynamic_img_size=True, **shape))


def huggingface_model(kind: str, size: tuple = TINY) -> torch.nn.Module:
    (name, options), (depth, width, heads) = HUGGINGFACE[kind], size
    patch = 16 if 'dinov3' in kind else 14
    options = dict(options, **(dict(intermediate_size=4 * width) if patch == 16 else {}))
    config = getattr(transformers, f'{name}Config')(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        patch_size=patch,
        image_size=5 * patch,
        **options,
    )
    return randomized(getattr(transformers, f'{name}Model')(config))


def saved(model: torch.nn.Module, folder) -> dict[str, torch.Tensor]:
    """Tensors by the names that the Hugging Face hub has, which are not those in memory."""
    model.save_pretrained(folder)
    return load_file(folder / 'model.safetensors')


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@torch.no_grad()
def difference(ours: DenseViT, theirs, patch: int, grid: tuple[int, int]) -> float:
    """The largest difference of all tokens, relative to the largest value."""
    images = torch.randn(2, 3, patch * grid[0], patch * grid[1])
    expected = theirs(images)
    return float((ours(images)[0] - expected).abs().max() / expected.abs().max())


def backbone_of(state: dict) -> DenseViT:
    network = published_network(state, None, 'The file')
    network.eval()
    return network.backbone


@pytest.mark.parametrize('size', SIZES, ids=['tiny', 'S', 'B'])
@pytest.mark.parametrize('name', TIMM)
def test_features_equal_those_of_timm_at_its_own_and_another_size_and_the_file_returns(name, size):
    model = timm_model(name, size)
    weights, patch = to_ours(model.state_dict()), 14 if 'dinov2' in name else 16
    assert weights.format == 'timm' and not weights.ignored
    assert_same(from_ours(weights.backbone, 'timm'), model.state_dict())
    ours = backbone_of(model.state_dict())
    assert difference(ours, model.forward_features, patch, (5, 5)) < 1e-5
    # timm always filters positions while they are resized.
    ours.antialias = True
    assert difference(ours, model.forward_features, patch, (4, 7)) < 1e-5


@pytest.mark.parametrize('size', SIZES, ids=['tiny', 'S', 'B'])
@pytest.mark.parametrize('kind', HUGGINGFACE)
def test_features_equal_those_of_transformers_at_its_own_and_another_size_and_the_file_returns(kind, size, tmp_path):
    model = huggingface_model(kind, size)
    state, patch = saved(model, tmp_path), 16 if 'dinov3' in kind else 14
    weights = to_ours(state)
    assert weights.format == 'huggingface' and not weights.ignored
    assert_same(from_ours(weights.backbone, 'huggingface'), state)
    ours = backbone_of(state)
    for grid in ((5, 5), (4, 7), (9, 3)):
        assert difference(ours, lambda images: model(images).last_hidden_state, patch, grid) < 1e-5


def metas_dinov3(gated: bool) -> dict[str, torch.Tensor]:
    """A file with the names of facebookresearch/dinov3; the bias of keys is not zero, as it is masked."""
    width, hidden, random = 192, 512 if gated else 768, torch.Generator().manual_seed(0)

    def made(*shape):
        return torch.randn(shape, generator=random) * 0.1

    state = dict(cls_token=made(1, 1, width), storage_tokens=made(1, 4, width), mask_token=made(1, width))
    state['patch_embed.proj.weight'], state['patch_embed.proj.bias'] = made(width, 3, 16, 16), made(width)
    # Rounded, as in the published files.
    state['rope_embed.periods'] = (100 ** (torch.arange(16) / 16)).bfloat16().float()
    for block in range(2):
        shapes = {
            'norm1.weight': (width,),
            'norm1.bias': (width,),
            'attn.qkv.weight': (3 * width, width),
            'attn.qkv.bias': (3 * width,),
            'attn.proj.weight': (width, width),
            'attn.proj.bias': (width,),
            'ls1.gamma': (width,),
            'norm2.weight': (width,),
            'norm2.bias': (width,),
            'ls2.gamma': (width,),
        }
        for name, outs, ins in (
            [('w1', hidden, width), ('w2', hidden, width), ('w3', width, hidden)]
            if gated
            else [('fc1', hidden, width), ('fc2', width, hidden)]
        ):
            shapes |= {f'mlp.{name}.weight': (outs, ins), f'mlp.{name}.bias': (outs,)}
        state |= {f'blocks.{block}.{name}': made(*shape) for name, shape in shapes.items()}
        mask = torch.ones(3, width)
        mask[1] = 0
        state[f'blocks.{block}.attn.qkv.bias_mask'] = mask.flatten()
    state['norm.weight'], state['norm.bias'] = made(width), made(width)
    return state


@pytest.mark.parametrize('gated', [False, True], ids=['MLP', 'SwiGLU'])
def test_metas_dinov3_is_read_with_its_masked_biases_and_rounded_periods_and_returns(gated):
    theirs = metas_dinov3(gated)
    weights = to_ours(dict(teacher={f'backbone.{key}': value for key, value in theirs.items()}))
    assert weights.format == 'dinov3' and not weights.ignored
    for block in range(2):
        query, key, value = weights.backbone[f'layers.{block}.attn.qkv.bias'].chunk(3)
        assert not key.any() and query.any() and value.any()
        theirs[f'blocks.{block}.attn.qkv.bias'] *= theirs[f'blocks.{block}.attn.qkv.bias_mask']
    assert_same(from_ours(weights.backbone, 'dinov3'), theirs)
    ours = backbone_of(theirs)
    assert torch.equal(ours.rope.periods, theirs['rope_embed.periods']) and ours.layers[0].ln1.eps == 1e-5
    # timm computes the periods in float32.
    model = timm.create_model(
        f'vit_small_{"plus_" if gated else ""}patch16_dinov3_qkvb',
        depth=2,
        embed_dim=192,
        num_heads=3,
        num_classes=0,
        dynamic_img_size=True,
        mlp_ratio=512 / 192 if gated else 4,
    ).eval()
    model.load_state_dict(from_ours(weights.backbone, 'timm'))
    model.rope.periods.copy_(theirs['rope_embed.periods'])
    assert difference(ours, model.forward_features, 16, (4, 7)) < 1e-5


@pytest.mark.parametrize('name', [name for name in TIMM if 'dinov2' in name])
def test_metas_dinov2_has_positions_of_the_class_token_that_timm_adds_to_it(name):
    model = timm_model(name)
    ours = dict(to_ours(model.state_dict()).backbone)
    ours['pos_embed'] = torch.randn_like(ours['pos_embed'])
    theirs = from_ours(ours, 'dinov2')
    registers = {'register_tokens'} if 'reg4' in name else set()
    assert {key for key in theirs if 'token' in key} == {'cls_token', 'mask_token'} | registers
    assert ('blocks.0.mlp.w12.weight' in theirs) == ('giant' in name) and theirs['pos_embed'].shape == (1, 26, 192)
    again = to_ours(theirs)
    assert again.format == 'dinov2' and not again.ignored
    assert_same({key: value for key, value in again.backbone.items() if key != 'mask_token'}, ours)
    model.load_state_dict(from_ours(again.backbone, 'timm'))
    assert difference(backbone_of(theirs), model.forward_features, 14, (5, 5)) < 1e-5


def test_chunks_of_blocks_are_merged():
    theirs = from_ours(to_ours(timm_model('vit_small_patch14_reg4_dinov2').state_dict()).backbone, 'dinov2')
    chunked = {
        key.replace('blocks.0.', 'blocks.0.0.').replace('blocks.1.', 'blocks.1.1.'): theirs[key] for key in theirs
    }
    assert_same(to_ours(chunked).backbone, to_ours(theirs).backbone)


def test_rotary_positions_are_marked_in_our_own_files_by_their_periods():
    state = timm_model('vit_small_patch16_dinov3_qkvb').state_dict()
    own = own_checkpoint(to_ours(state))
    torch.testing.assert_close(own['backbone.rope.periods'], 100 ** (torch.arange(16) / 16))
    found = to_ours(dict(state_dict=own))
    assert found.format == 'mmdecouple' and backbone_of(dict(state_dict=own)).rope is not None
    assert 'pos_embed' not in found.backbone
    narrow = to_ours(timm_model('vit_small_patch16_dinov3_qkvb', (2, 48, 3)).state_dict())
    with pytest.raises(UserError, match='of width 48 with rotary positions has no published size'):
        own_checkpoint(narrow)
    lost = {key: value for key, value in own.items() if 'periods' not in key}
    with pytest.raises(UserError, match='lacks backbone.pos_embed'):
        to_ours(dict(state_dict=lost))


@pytest.mark.parametrize(
    ('name', 'to', 'line'),
    [
        ('vit_small_patch14_reg4_dinov2', 'dino', 'Format dino does not support the backbone tensor register_tokens'),
        ('vit_small_patch14_dinov2', 'ibot', 'Format ibot does not support the backbone tensor layers.0.attn.gamma1'),
        ('vit_small_patch16_dinov3_qkvb', 'dinov2', 'Format dinov2 does not support the backbone tensor rope.periods'),
        ('vit_small_patch14_dinov2', 'dinov3', 'Format dinov3 does not support the backbone tensor pos_embed'),
    ],
)
def test_a_format_without_a_part_is_refused(name, to, line):
    with pytest.raises(UserError, match=line):
        convert(timm_model(name).state_dict(), to)


def test_a_bias_of_keys_is_not_lost_silently():
    backbone = dict(to_ours(timm_model('vit_small_patch16_dinov3_qkvb').state_dict()).backbone)
    backbone['layers.1.attn.qkv.bias'] = torch.ones(3 * 192)
    with pytest.raises(UserError, match='biases of keys in blocks.1.attn.q_bias, .* are not zero'):
        from_ours(backbone, 'timm')


def dense(**options) -> DenseViT:
    sizes = dict(embed_dims=192, num_layers=2, num_heads=3, feedforward_channels=768)
    return DenseViT(**dict(arch=sizes, patch_size=14, img_size=70, layer_scale_init_value=1e-5) | options)


ROPE = dict(position='rope', patch_size=16, img_size=80, register_tokens=4, key_bias=False)


@pytest.mark.parametrize(
    ('options', 'name', 'wanted'),
    [
        (dict(register_tokens=4), 'vit_small_patch14_dinov2', ['register_tokens=0 (not 4)']),
        ({}, 'vit_small_patch14_reg4_dinov2', ['register_tokens=4 (not 0)']),
        (dict(layer_scale_init_value=0.0), 'vit_small_patch14_dinov2', ['layer_scale_init_value=1e-05 (not 0.0)']),
        (dict(in_channels=4), 'vit_small_patch14_dinov2', ['in_channels=3 (not 4)']),
        (dict(ROPE, patch_size=14, img_size=70), 'vit_small_patch14_reg4_dinov2', ["position='learned' (not 'rope')"]),
        (
            dict(patch_size=16, img_size=80, register_tokens=4),
            'vit_small_patch16_dinov3_qkvb',
            ["position='rope' (not 'learned')", 'key_bias=False (not True)'],
        ),
        (ROPE, 'vit_small_plus_patch16_dinov3_qkvb', ["layer_cfgs.ffn_type='swiglu_fused' (not 'origin')"]),
        (dict(patch_size=10), 'vit_small_patch14_dinov2', ['patch_size=14 (not 10)']),
    ],
)
def test_a_file_of_another_architecture_is_refused_with_the_settings_that_fit(options, name, wanted, tmp_path):
    path = str(tmp_path / 'a.safetensors')
    save_file(timm_model(name).state_dict(), path)
    with pytest.raises(UserError) as error:
        dense(**options).load_file(path, 'model.backbone.weights')
    text = str(error.value)
    assert len(text.splitlines()) == 1 and 'config key model.backbone.weights' in text
    assert all(setting in text for setting in wanted), text
    assert text.startswith(f'DenseViT: {path} does not fit the network')


@pytest.mark.parametrize(
    ('name', 'options'), [('vit_small_patch14_reg4_dinov2', dict(register_tokens=4)), (TIMM[5], ROPE)]
)
def test_a_file_that_fits_is_loaded_and_positions_are_resized_to_the_view(name, options, tmp_path):
    path, model = str(tmp_path / 'a.safetensors'), timm_model(name)
    save_file(model.state_dict(), path)
    network = dense(**options | dict(weights=path, mask_token=True, img_size=options.get('patch_size', 14) * 3))
    network.init_weights()
    assert torch.equal(network.register_tokens, model.reg_token) and not network.mask_token.any()
    if network.pos_embed is not None:
        assert network.pos_embed.shape == (1, 10, 192)


@pytest.mark.parametrize('name', TIMM)
def test_the_description_states_what_a_plain_vit_lacks(name):
    text = describe_vit(to_ours(timm_model(name).state_dict()).backbone)
    assert text.startswith(f'ViT of 2 blocks, width 192, patch {14 if "dinov2" in name else 16}')
    marks = {'4 registers': 'dinov3' in name or 'reg4' in name, 'LayerScale': True, 'RoPE': 'dinov3' in name}
    assert all((mark in text) == held for mark, held in marks.items())
    assert ('SwiGLU' in text) == ('giant' in name or 'plus' in name)


def test_a_tensor_of_another_shape_is_refused_by_its_name():
    state = timm_model('vit_small_patch16_dinov3_qkvb').state_dict()
    for key, shape in (('reg_token', (4, 192)), ('blocks.1.gamma_1', (191,)), ('blocks.1.attn.q_bias', (191,))):
        with pytest.raises(UserError, match=key) as error:
            to_ours({**state, key: torch.zeros(shape)})
        assert len(str(error.value).splitlines()) == 1

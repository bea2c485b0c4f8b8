"""A backbone whose tensors do not fit each other is refused, with the first of them by name and the others counted."""

import re

import pytest
import torch
import torchvision

from mmdecouple.models import DenseViT
from mmdecouple.weights.formats.resnet import to_ours as read_resnet
from mmdecouple.weights.formats.vit import FORMATS, WRITABLE, from_ours
from mmdecouple.weights.formats.vit import to_ours as read_vit
from mmdecouple.weights.formats.vit_arch import vit_arch

C = 48
ARCH = dict(embed_dims=C, num_layers=2, num_heads=3, feedforward_channels=96)


def vit(**options):
    torch.manual_seed(0)
    return DenseViT(**dict(arch=ARCH, img_size=32, patch_size=8, mask_token=True) | options)


def resnet(depth=18):
    with torch.device('meta'):
        return {
            key: value
            for key, value in torchvision.models.get_model(f'resnet{depth}').state_dict().items()
            if not key.startswith('fc.')
        }


def refusal(read, *args, **choices):
    with pytest.raises(ValueError) as error:
        read(*args, **choices)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('format', ['mmdecouple', 'huggingface'])
def test_every_tensor_of_a_vit_has_one_shape(format):
    state = from_ours(vit().state_dict(), format)
    assert read_vit(state).format == format
    for name, value in state.items():
        for axis, side in enumerate(value.shape):
            for other in {side - 1, side + 1, 0} - {side}:
                shape = [*value.shape[:axis], other, *value.shape[axis + 1 :]]
                if value.ndim == 4 and axis == 1 and other:
                    # Images may have any number of channels.
                    continue
                assert 'has the shape (' in refusal(read_vit, {**state, name: torch.zeros(shape)}), (name, shape)
        for shape in ((*value.shape, 2), value.shape[1:] + value.shape[:1] + (1,), (2, *value.shape), ()):
            assert 'has the shape' in refusal(read_vit, {**state, name: torch.zeros(shape)}), (name, shape)


@pytest.mark.parametrize(
    'name, shape, needed',
    [
        ('patch_embed.projection.weight', (C, 0, 8, 8), '(width, channels, patch, patch)'),
        ('patch_embed.projection.weight', (C, 3, 8, 4), '(width, channels, patch, patch)'),
        ('patch_embed.projection.weight', (C, 3, 64), '(width, channels, patch, patch)'),
        ('patch_embed.projection.weight', (C, 3, 0, 0), '(width, channels, patch, patch)'),
        ('cls_token', (2, 1, C), '(1, 1, width)'),
        ('cls_token', (0,), '(1, 1, width)'),
        ('mask_token', (), '(1, 1, width)'),
        ('pos_embed', (1, 16, C), '(1, 1 + patches of a square, as the file states no grid, width)'),
        ('layers.0.ffn.layers.1.weight', (C,), '(out, in)'),
        ('layers.1.attn.proj.weight', (C, C, 1), '(out, in)'),
        ('layers.1.attn.qkv.bias', (3 * C, 1), '(width,)'),
        ('ln1.weight', (1, C), '(width,)'),
    ],
)
def test_a_tensor_with_other_axes_is_refused_with_those_that_it_needs(name, shape, needed):
    text = refusal(read_vit, {**vit().state_dict(), name: torch.zeros(shape)}, where='The file')
    assert (
        text
        == f'The file (format mmdecouple): {name} has the shape {shape} instead of {needed}; the file holds another '
        'architecture, or is damaged.'
    )


def test_queries_keys_and_values_are_of_one_shape_also_where_their_sum_fits():
    state = from_ours(vit().state_dict(), 'huggingface')
    query, key = (f'encoder.layer.1.attention.attention.{kind}.weight' for kind in ('query', 'key'))
    changed = {**state, query: torch.zeros(C + 1, C), key: torch.zeros(C - 1, C)}
    text = refusal(read_vit, changed, where='The file')
    assert (
        f'{key} has the shape ({C - 1}, {C}) instead of ({C + 1}, {C}) as {query} has; the file holds another' in text
    )


@pytest.mark.parametrize('token', [(C,), (1, C), (1, 1, C)])
@pytest.mark.parametrize('positions', [(17, C), (1, 17, C)])
def test_axes_of_one_may_be_left_out_of_tokens_and_positions(token, positions):
    state = vit().state_dict()
    changed = {**state, 'pos_embed': state['pos_embed'].reshape(positions)} | {
        key: state[key].reshape(token) for key in ('cls_token', 'mask_token')
    }
    assert all(torch.equal(value, state[key]) for key, value in read_vit(changed).backbone.items())


@pytest.mark.parametrize(
    'key, shape',
    [
        ('conv1.weight', (64, 3, 7, 7)),
        ('bn1.weight', (64,)),
        ('layer2.0.downsample.0.weight', (128, 64, 1, 1)),
        ('layer4.1.conv2.weight', (512, 512, 3, 3)),
        ('layer3.0.bn2.running_var', (256,)),
    ],
)
def test_every_tensor_of_a_resnet_has_one_shape(key, shape):
    state = resnet()
    assert tuple(state[key].shape) == shape
    for axis, side in enumerate(shape):
        for other in (side - 1, side + 1):
            changed = torch.empty(*shape[:axis], other, *shape[axis + 1 :], device='meta')
            text = refusal(read_resnet, {**state, key: changed}, where='The file')
            refused = f'The file: the ResNet-18 under backbone.* has another shape of {key}'
            assert text == f'{refused}; use weights of a plain ResNet.'


@pytest.mark.parametrize('depth', [18, 34, 50, 101, 152])
def test_a_resnet_is_read_with_its_depth_and_in_its_order(depth):
    state = resnet(depth)
    found = read_resnet(state)
    assert found.depth == depth and found.format == 'torchvision' and not found.ignored
    # In the order of the file, so that a converted file is the same every time.
    assert list(found.state) == [f'backbone.{key}' for key in state]


def test_a_resnet_of_no_known_depth_is_refused_with_what_was_counted():
    state = resnet(34)
    for block in (4, 5):
        state = {key: value for key, value in state.items() if not key.startswith(f'layer3.{block}.')}
    assert 'under backbone.*: its third stage has 4 blocks; use' in refusal(read_resnet, state)


@pytest.mark.parametrize('count, more', [(1, ''), (6, ''), (7, ' and 1 more'), (9, ' and 3 more')])
def test_the_first_six_tensors_that_are_missing_or_odd_are_named_and_the_others_counted(count, more):
    for state, read in ((vit().state_dict(), read_vit), (resnet(), read_resnet)):
        # Counters are not missed.
        lost = [key for key in state if 'tracked' not in key][15 : 15 + count]
        rest = {key: value for key, value in state.items() if key not in lost}
        names = re.search(r' lacks (.*?)( of a backbone of 2 blocks)?; use .*\.$', refusal(read, rest))[1]
        listed = names.removesuffix(more).split(', ')
        assert len(listed) == min(count, 6) and set(listed) <= set(lost) and names.endswith(more)
    odd = [f'layers.1.ls{index}' for index in range(count)]
    text = refusal(read_vit, {**vit().state_dict(), **dict.fromkeys(odd, torch.ones(1))})
    assert f' holds {", ".join(odd[:6])}{more}, which DenseViT does not have' in text
    odd = [f'layer1.0.ls{index}' for index in range(count)]
    text = refusal(read_resnet, {**resnet(), **dict.fromkeys(odd, torch.ones(1))})
    assert text.endswith(f'has the unknown tensors {", ".join(odd[:6])}{more}; use weights of a plain ResNet.')


@pytest.mark.parametrize(
    'content, begin',
    [
        ({}, 'nothing'),
        (dict(epoch=3), 'nothing'),
        (dict(state_dict={'a': torch.ones(1), 'n': 3}, b=torch.ones(1)), 'a'),
        (dict.fromkeys('abcd', torch.ones(1)), 'a, b, c'),
        # A name out of a file can be of any length.
        ({'x' * 1000: torch.ones(1)}, 'x' * 60),
    ],
)
def test_what_holds_no_vit_is_described_by_its_first_names(content, begin):
    text = refusal(read_vit, content, where='The file')
    assert text == f'The file holds no ViT in one of the formats {", ".join(FORMATS)}; its tensors begin with {begin}.'


@pytest.mark.parametrize(
    ('change', 'settings'),
    [
        (dict(num_layers=3), 'arch.num_layers=3 (not 2)'),
        (dict(embed_dims=96), 'arch.embed_dims=96 (not 48)'),
        (dict(feedforward_channels=80), 'arch.feedforward_channels=80 (not 96)'),
        (dict(embed_dims=24, num_layers=1), 'arch.embed_dims=24 (not 48), arch.num_layers=1 (not 2)'),
    ],
)
def test_a_file_of_another_network_is_refused_with_the_settings_that_it_requires(change, settings, tmp_path):
    model, path = vit(mask_token=False), tmp_path / 'a.pth'
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(vit(arch={**ARCH, **change}).state_dict(), path)
    assert refusal(model.load_file, str(path), 'model.backbone.weights') == (
        f'DenseViT: {path} does not fit the network; its weights require the settings {settings} of the '
        'backbone (config key model.backbone.weights).'
    )
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize('format', WRITABLE)
def test_a_format_that_is_written_is_one_that_is_read(format):
    modern = dict(layer_scale_init_value=1.0, mask_token=True) if format.startswith('dinov') else dict(mask_token=False)
    rotary = dict(position='rope', key_bias=False) if format == 'dinov3' else {}
    network = vit(**modern, **rotary)
    network.init_weights()
    backbone = network.state_dict()
    found = read_vit(from_ours(backbone, format)).backbone
    assert found.keys() == backbone.keys() and all(torch.equal(value, backbone[key]) for key, value in found.items())


@pytest.mark.parametrize('width, heads', [(192, 3), (384, 6), (768, 12), (1024, 16), (1280, 16), (48, None)])
def test_the_heads_of_published_sizes_are_known(width, heads):
    with torch.device('meta'):
        state = vit(arch=dict(ARCH, embed_dims=width, num_heads=16), pre_norm=width == 48).state_dict()
    assert vit_arch(state) == dict(
        embed_dims=width, num_layers=2, feedforward_channels=96, **({'num_heads': heads} if heads else {})
    )

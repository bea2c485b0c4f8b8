"""Rotary positions against complex numbers in float64, and their transforms in training against transformers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdecouple.models.backbones.rope import AxialRope
from mmdecouple.utils.errors import UserError


def turned(heads: np.ndarray, grid: tuple[int, int], base: float, extra: int) -> np.ndarray:
    """Heads (T, D) after rotation: channels k and k + D / 2 as real and imaginary part, one token at a time."""
    out, half = heads.astype(np.float64).copy(), heads.shape[1] // 2
    for token in range(extra, len(heads)):
        row, column = divmod(token - extra, grid[1])
        place = [2 * (row + 0.5) / grid[0] - 1, 2 * (column + 0.5) / grid[1] - 1]
        for channel in range(half):
            axis, number = divmod(channel, half // 2)
            angle = 2 * np.pi * place[axis] / base ** (2 * number / half)
            value = (heads[token, channel] + 1j * heads[token, channel + half]) * np.exp(1j * angle)
            out[token, channel], out[token, channel + half] = value.real, value.imag
    return out


@settings(max_examples=25, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    quarter=st.integers(1, 6),
    extra=st.integers(1, 5),
    base=st.sampled_from([10.0, 100.0, 1000.0]),
)
def test_the_rotation_is_that_of_the_formula_in_float64(grid, quarter, extra, base):
    torch.manual_seed(0)
    heads = torch.randn(2, 3, extra + grid[0] * grid[1], 4 * quarter)
    found = AxialRope(4 * quarter, base)(grid, extra).apply(heads)
    expected = np.stack([[turned(head, grid, base, extra) for head in image] for image in heads.numpy()])
    np.testing.assert_allclose(found.numpy(), expected, atol=3e-6)
    assert torch.equal(found[:, :, :extra], heads[:, :, :extra]), 'class and register tokens do not rotate'


def test_products_depend_on_the_distance_of_two_patches_only():
    rotation = AxialRope(16)((5, 7), 1)
    query, key = torch.randn(2, 16)
    products = rotation.apply(query.expand(1, 1, 36, 16))[0, 0] @ rotation.apply(key.expand(1, 1, 36, 16))[0, 0].T
    grid = products[1:, 1:].view(5, 7, 5, 7)
    torch.testing.assert_close(grid[:4, :6, :4, :6], grid[1:, 1:, 1:, 1:], atol=1e-4, rtol=1e-4)


def test_tokens_of_each_image_have_the_rotation_of_their_own_place():
    rotation, chosen = AxialRope(8)((3, 4), 2), torch.tensor([[0, 1, 5, 13], [0, 1, 2, 7]])
    heads = torch.randn(2, 3, 14, 8)
    some = torch.stack([image[:, tokens] for image, tokens in zip(heads, chosen)])
    expected = torch.stack([image[:, tokens] for image, tokens in zip(rotation.apply(heads), chosen)])
    assert torch.equal(rotation.at(chosen).apply(some), expected)


@pytest.mark.parametrize(
    'options', [{}, dict(shift=0.3), dict(jitter=1.5), dict(rescale=2.0), dict(shift=0.1, jitter=1.2, rescale=2.0)]
)
def test_the_transforms_in_training_are_those_of_transformers_under_the_same_seed(options):
    dinov3 = pytest.importorskip('transformers.models.dinov3_vit.modeling_dinov3_vit')
    config = dinov3.DINOv3ViTConfig(
        hidden_size=32,
        num_attention_heads=2,
        patch_size=8,
        **{f'pos_embed_{key}': options.get(key) for key in ('shift', 'jitter', 'rescale')},
    )
    theirs, ours = dinov3.DINOv3ViTRopePositionEmbedding(config).train(), AxialRope(16, **options).train()
    torch.manual_seed(3)
    cos, sin = theirs(torch.zeros(1, 3, 24, 40))
    torch.manual_seed(3)
    found = ours((3, 5), 1)
    torch.testing.assert_close(found.cos[1:], cos, atol=2e-6, rtol=0)
    torch.testing.assert_close(found.sin[1:], sin, atol=2e-6, rtol=0)
    plain = AxialRope(16)((3, 5), 1).cos
    assert torch.equal(ours.eval()((3, 5), 1).cos, plain)
    with torch.no_grad():
        assert torch.equal(ours.train()((3, 5), 1).cos, plain), 'the pass of a teacher'


def test_half_precision_rotates_in_float32():
    rotation, heads = AxialRope(8)((4, 4), 1), torch.randn(1, 2, 17, 8).bfloat16()
    found = rotation.apply(heads)
    assert found.dtype == torch.bfloat16 and torch.equal(found, rotation.apply(heads.float()).bfloat16())


def test_weights_without_periods_keep_those_of_the_network_and_rounded_ones_are_taken():
    rope = AxialRope(16, base=50.0)
    expected = rope.periods.clone()
    rope.load_state_dict({})
    assert torch.equal(rope.periods, expected)
    rope.load_state_dict(dict(periods=expected.bfloat16()))
    assert torch.equal(rope.periods, expected.bfloat16().float()) and not torch.equal(rope.periods, expected)


def test_a_head_whose_channels_are_no_quarters_is_refused():
    with pytest.raises(UserError, match='head_channels must be a multiple of 4, got 6; change the number of heads'):
        AxialRope(6)

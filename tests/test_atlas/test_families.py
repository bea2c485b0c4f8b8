"""Networks of the page that a user opens: names that timm has, and files in the layouts of their authors."""

import re

import pytest
import torch

from mmdecouple.atlas.run import DOCS
from mmdecouple.networks.foreign import timm_network
from mmdecouple.utils.errors import UserError

timm = pytest.importorskip('timm')
V3 = 'vit_small_patch16_dinov3'
pytestmark = pytest.mark.skipif(not timm.is_model(f'{V3}_qkvb'), reason='needs timm 1.0.31')


def dinov3(biases: float, depth: int = 12, width: int = 384) -> dict[str, torch.Tensor]:
    """Random weights with the names of DINOv3's files."""
    torch.manual_seed(0)
    found = {
        'cls_token': torch.randn(1, 1, width),
        'storage_tokens': torch.randn(1, 4, width),
        'mask_token': torch.zeros(1, width),
        'patch_embed.proj.weight': torch.randn(width, 3, 16, 16) / 28,
        'patch_embed.proj.bias': torch.randn(width),
        'rope_embed.periods': torch.rand(16),
        'norm.weight': torch.ones(width),
        'norm.bias': torch.zeros(width),
    }
    shapes = {'attn.qkv': (3 * width, width), 'attn.proj': (width, width), 'mlp.fc1': (4 * width, width)}
    for index in range(depth):
        block = f'blocks.{index}.'
        for name, (rows, columns) in {**shapes, 'mlp.fc2': (width, 4 * width)}.items():
            found[f'{block}{name}.weight'] = torch.randn(rows, columns) / columns**0.5
            found[f'{block}{name}.bias'] = biases * torch.randn(rows)
        for name in ('norm1', 'norm2'):
            found |= {f'{block}{name}.weight': torch.ones(width), f'{block}{name}.bias': torch.zeros(width)}
        found |= {f'{block}ls{number}.gamma': torch.full((width,), 0.3) for number in (1, 2)}
        found[f'{block}attn.qkv.bias_mask'] = torch.ones(3 * width)
    return found


def features(name: str, content: dict[str, torch.Tensor]) -> torch.Tensor:
    images = torch.randn(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    return timm_network(name, content, 'the file').eval().dense_features(images)


def test_biases_of_queries_and_values_are_never_dropped():
    content = dinov3(biases=1.0)
    with pytest.raises(UserError, match=rf'the file does not fit timm:{V3}: it has biases.*timm:{V3}_qkvb'):
        features(V3, content)
    found = features(f'{V3}_qkvb', content)
    # The bias of the keys changes no attention, and the files mask it.
    changed = {key: value.clone() for key, value in content.items()}
    changed['blocks.0.attn.qkv.bias'][384:768] += 5
    torch.testing.assert_close(features(f'{V3}_qkvb', changed), found)
    changed['blocks.0.attn.qkv.bias'][768:] += 5
    assert not torch.allclose(features(f'{V3}_qkvb', changed), found, atol=0.1)


def test_without_biases_both_architectures_give_the_same_features_and_projectors_are_left_out():
    content = dinov3(biases=0.0)
    found = features(f'{V3}_qkvb', {**content, 'projectors.clip.0.weight': torch.ones(3, 384)})
    torch.testing.assert_close(features(V3, content), found)


def test_the_page_names_models_that_timm_has():
    names = set(re.findall(r'timm:([\w.]+)', (DOCS / 'atlas.md').read_text()))
    assert len(names) >= 6 and [name for name in names if not timm.is_model(name)] == []

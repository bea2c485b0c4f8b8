import numpy as np
import pytest
import torch
from torch import nn

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.visualization.affinity import affinity_figure, affinity_maps, largest_instance_point, point_affinity
from mmdecouple.visualization.style import run_styles


def bilinear(features: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge (C, h, w) by the textbook rule: pixel centers, edges repeated."""
    channels, height, width = features.shape
    out = np.zeros((channels, height * factor, width * factor))
    for row in range(height * factor):
        for column in range(width * factor):
            y = min(max((row + 0.5) / factor - 0.5, 0), height - 1)
            x = min(max((column + 0.5) / factor - 0.5, 0), width - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            top = (1 - x + x0) * features[:, y0, x0] + (x - x0) * features[:, y0, x1]
            bottom = (1 - x + x0) * features[:, y1, x0] + (x - x0) * features[:, y1, x1]
            out[:, row, column] = (1 - y + y0) * top + (y - y0) * bottom
    return out


def test_affinity_equals_a_brute_force_cosine() -> None:
    features = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    points = torch.tensor([[0.1, 0.95], [1.0, 0.5]])
    found = point_affinity(features, points).numpy()
    for image, (row, column) in enumerate(((5, 0), (3, 7))):
        enlarged = bilinear(features[image].double().numpy(), 2)
        chosen = enlarged[:, row, column]
        expected = np.einsum('c,chw->hw', chosen, enlarged) / (
            np.linalg.norm(chosen) * np.linalg.norm(enlarged, axis=0)
        )
        np.testing.assert_allclose(found[image], expected, atol=1e-5)
        assert found[image, row, column] == pytest.approx(1, abs=1e-6)


def test_points_outside_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r'shares of width and height in \[0, 1\], got 0.5 to 1.2'):
        point_affinity(torch.ones(1, 2, 3, 3), torch.tensor([[0.5, 1.2]]))
    with pytest.raises(ValueError, match=r'shape \(1, 2\)'):
        point_affinity(torch.ones(1, 2, 3, 3), torch.zeros(2, 2))


class Strided(nn.Module):
    """Dense features that are the mean colors of 16 x 16 patches."""

    def dense_features(self, images: torch.Tensor) -> torch.Tensor:
        assert not torch.backends.cudnn.allow_tf32 and not self.training
        return nn.functional.avg_pool2d(images, 16)


def test_a_model_sees_the_image_at_twice_its_size_in_full_float32(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)
    images = torch.randn(2, 3, 64, 96)
    maps = affinity_maps(Strided(), images, torch.full((2, 2), 0.5))
    assert maps.shape == (2, 16, 24)
    assert torch.backends.cudnn.allow_tf32


def test_the_point_lies_on_the_largest_instance_even_if_its_center_does_not() -> None:
    ring = np.zeros((20, 30), bool)
    ring[2:18, 2:28] = True
    ring[5:15, 5:25] = False
    small = np.zeros((20, 30), bool)
    small[9:11, 14:16] = True
    item = ObjectImage(
        np.zeros((20, 30, 3), np.uint8),
        np.zeros((2, 4), np.float32),
        np.zeros(2, np.int64),
        np.stack([small, ring]),
        np.arange(2),
        7,
    )
    x, y = largest_instance_point(item)
    assert ring[int(y * 20), int(x * 30)]
    with pytest.raises(ValueError, match='image 7 has no instance'):
        largest_instance_point(item._replace(masks=np.zeros((0, 20, 30), bool)))
    with pytest.raises(ValueError, match='image 7 has no instance'):
        largest_instance_point(item._replace(masks=np.zeros((2, 20, 30), bool)))


def test_the_fixed_scale_keeps_models_comparable() -> None:
    image, styles = np.zeros((8, 8, 3), np.uint8), run_styles(['a'])
    maps = {'a': np.linspace(0.2, 0.4, 16).reshape(1, 4, 4)}
    limits = {}
    for scale in ('fixed', 'per_map'):
        figure = affinity_figure([image], [(0.5, 0.5)], maps, styles, scale)
        limits[scale] = figure.axes[1].images[0].get_clim()
    assert limits == {'fixed': (0.0, 1.0), 'per_map': (0.2, 0.4)}
    with pytest.raises(ValueError, match="unknown scale 'free'"):
        affinity_figure([image], [(0.5, 0.5)], maps, styles, 'free')

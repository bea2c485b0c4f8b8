"""De-coupling in a plain PyTorch loop: RCC masks and the branch around a torchvision network, without OpenMMLab.

    python examples/plain_pytorch.py --steps 50

The method is dense BYOL: at every position the student predicts the features that an averaged teacher has there. Three
things make it the "-D" form: `branch.compose` makes the decoupled views, the student sees them in the same pass as its
own view, and `branch(...)` adds their loss. The images are random blobs; put a loader of your own in their place.
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from mmdecouple.decoupling import DecouplingBranch


class DenseNetwork(nn.Module):
    """A ResNet-18 up to its third stage, and a projection of every position: (N, 3, H, W) -> (N, P, C)."""

    stride = 16

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*list(resnet18().children())[:-3])
        self.projection = nn.Conv2d(256, channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.projection(self.trunk(images)).flatten(2).transpose(1, 2)


class DenseBYOL:
    """The dense loss of the method, 2 - 2 cos; the branch applies it to the foreground of the decoupled views."""

    # With targets of unit length the loss is linear in them.
    linear_in_target = True

    def dense_target(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=-1)

    def dense_loss(self, student: Tensor, target: Tensor) -> Tensor:
        return 2 - 2 * (F.normalize(student, dim=-1) * target).sum(-1)


def two_views(batch: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two views (B, 3, H, W) of random blobs; same crop and different colors, so that positions correspond."""
    blobs = F.interpolate(torch.randn(batch, 3, 8, 8, generator=generator), size=(size, size), mode='bilinear')
    first, second = (blobs * (0.6 + 0.8 * torch.rand(batch, 3, 1, 1, generator=generator)) for _ in range(2))
    return first, second


def train(steps: int, batch: int = 16, size: int = 64) -> list[dict[str, float]]:
    """Train for some steps; the loss terms of each."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network, method = DenseNetwork(), DenseBYOL()
    teacher = copy.deepcopy(network).requires_grad_(False)
    student = nn.Sequential(network, nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
    branch = DecouplingBranch(mask=dict(type='RegionCollaborativeCutout', preset='paper'), loss_weight=0.3)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    grid, history = (size // network.stride, size // network.stride), []
    for _ in range(steps):
        view, key_view = two_views(batch, size, generator)
        # Views of other images show through the cut cells of some key views.
        decoupled = branch.compose([key_view], grid, generator)
        with torch.no_grad():
            target = teacher(key_view)
        clean, dense = student(torch.cat([view, decoupled.images])).split([batch, len(decoupled.images)])
        base = method.dense_loss(clean.flatten(0, 1), method.dense_target(target.flatten(0, 1))).mean()
        losses = branch(dict(loss_base=base), dense, target[decoupled.rows], decoupled.foreground, method)
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
        optimizer.step()
        with torch.no_grad():
            for mine, theirs in zip(teacher.parameters(), network.parameters()):
                mine.lerp_(theirs, 0.01)
        history.append({name: value.item() for name, value in losses.items()})
    return history


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Train a de-coupled dense method with PyTorch alone.')
    parser.add_argument('--steps', type=int, default=50, help='optimizer steps')
    for step, terms in enumerate(train(parser.parse_args().steps)):
        print(step, ' '.join(f'{name}={value:.4f}' for name, value in terms.items()))

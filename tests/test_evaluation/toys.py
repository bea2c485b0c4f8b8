"""A data set in memory and networks whose coupling is known by construction."""

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmdecouple.datasets.objects import ObjectImage
from mmdecouple.registry import DATASETS

SIZE, CELL = 56, 8


@DATASETS.register_module()
class ToyObjects:
    """Noise images; box sides are multiples of 7, so that RoIAlign reads nothing outside."""

    classes = ('a', 'b', 'c')

    def __init__(self, num_images=12, first=0, counts=(1, 3), backgrounds=True, side=SIZE):
        self.name = self.origin = f'toy{first}'
        rng = np.random.default_rng(first)
        self.items = []
        for i in range(num_images):
            n = int(rng.integers(counts[0], counts[1] + 1))
            image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
            wh = rng.choice([21, 28], (n, 2))
            xy = np.stack([rng.integers(0, side - wh[:, 0] + 1), rng.integers(0, side - wh[:, 1] + 1)], 1)
            boxes = np.concatenate([xy, xy + wh], 1).astype(np.float32)
            masks = np.zeros((n, side, side), bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
                mask[y1:y2, x1:x2] = True
            labels = rng.integers(0, 3, n)
            for mask, label in zip(masks, labels):
                image[mask] = (image[mask] // 3 + np.eye(3)[label] * 80).astype(np.uint8)
            ids = first * 1000 + i * 10 + np.arange(n)
            self.items.append(ObjectImage(image, boxes, labels, masks, ids, first * 1000 + i))
        self.background_labels = rng.integers(0, 4, num_images) if backgrounds else None

    def __len__(self):
        return len(self.items)

    def objects(self, index):
        return self.items[index]

    def info(self, index):
        item = self.items[index]
        height, width = item.image.shape[:2]
        return dict(
            image_id=item.image_id,
            height=height,
            width=width,
            boxes=item.boxes,
            labels=item.labels,
            ids=item.ids,
            iscrowd=np.zeros(len(item.ids), bool),
        )


class ToyModel(BaseModel):
    """Base of the constructed networks: `dense_features` on images normalized one by one."""

    def forward(self, inputs, data_samples=None, mode='predict'):
        images = [(image.float() - 118) / 57 for image in inputs]
        return [BaseDataElement(dense=self.dense_features(image[None])[0]) for image in images]


class PixelModel(ToyModel):
    """Cannot couple: a position's feature is a function of its own pixel."""

    def dense_features(self, images):
        return torch.cat([images, images**2, images.roll(1, 1) * images], dim=1)


class GlobalModel(ToyModel):
    """Couples all it can: every position carries the mean of the whole image."""

    def dense_features(self, images):
        mean = PixelModel.dense_features(self, images).mean((2, 3), keepdim=True)
        return mean.expand(-1, -1, *images.shape[2:])


class ConvModel(ToyModel):
    """A small untrained network of stride 8 with dropout and batch norm, so that modes matter."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 5, 4, 2),
            torch.nn.BatchNorm2d(8),
            torch.nn.ReLU(),
            torch.nn.Dropout(0.5),
            torch.nn.Conv2d(8, 16, 3, 2, 1),
        )
        for parameter in self.net.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def dense_features(self, images):
        return self.net(images)


MEASURES = (
    dict(type='OKNN', k=5),
    dict(type='InterCouplingRatio', pairs=15, min_side=8),
    dict(type='IntraCouplingRatio', min_cells=4, min_part_cells=1),
    dict(type='ContextShift'),
    dict(type='BackgroundLeak', k=5),
)


def toy_probes(**settings):
    """A `ProbeDataset` over toy objects in separate splits, unless told otherwise."""
    settings = {
        **dict(
            objects=dict(type='ToyObjects', num_images=10),
            bank=dict(type='ToyObjects', num_images=14, first=1),
            singles=dict(type='ToyObjects', num_images=10, first=2, counts=(1, 1)),
            size=SIZE,
            cell=CELL,
            measures=MEASURES,
        ),
        **settings,
    }
    return DATASETS.build(dict(type='ProbeDataset', **settings))

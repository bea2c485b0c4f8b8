"""Class names, and the 15 super-categories of the ids in COCO's stuff pixel maps."""

import numpy as np

CAMVID_CLASSES = (
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
)
VOC_CLASSES = (
    'background',
    'aeroplane',
    'bicycle',
    'bird',
    'boat',
    'bottle',
    'bus',
    'car',
    'cat',
    'chair',
    'cow',
    'diningtable',
    'dog',
    'horse',
    'motorbike',
    'person',
    'pottedplant',
    'sheep',
    'sofa',
    'train',
    'tvmonitor',
)

# Ids of `stuff_{train,val}2017_pixelmaps` by the `supercategory` of `stuff_{train,val}2017.json`. The other ids of a
# map are 0 (a thing) and 183 (`other`). The labels follow the alphabetic order of the classes.
COCO_STUFF_15 = {
    'building': (95, 96, 128, 151, 158, 166),
    'ceiling': (102, 103),
    'floor': (101, 114, 115, 116, 117, 118),
    'food-stuff': (121, 122, 153, 170),
    'furniture-stuff': (98, 107, 108, 110, 112, 123, 130, 133, 156, 161, 165),
    'ground': (111, 125, 126, 136, 140, 144, 145, 147, 149, 154, 159),
    'plant': (94, 97, 119, 124, 129, 134, 142, 163, 169),
    'raw-material': (100, 132, 139, 143),
    'sky': (106, 157),
    'solid': (127, 135, 150, 160, 162, 182),
    'structural': (99, 113, 138, 146, 164),
    'textile': (92, 93, 104, 105, 109, 131, 137, 141, 152, 167, 168),
    'wall': (171, 172, 173, 174, 175, 176, 177),
    'water': (120, 148, 155, 178, 179),
    'window': (180, 181),
}


def label_table(groups: list[tuple[int, ...]], ignore: int) -> np.ndarray:
    """Returns the label of each stored value: the index of the group that contains it, else `ignore`.

    Args:
        groups: Stored values of each class.
        ignore: Label of all other values.

    Returns:
        uint8 `(256,)`.
    """
    table = np.full(256, ignore, np.uint8)
    for label, values in enumerate(groups):
        table[list(values)] = label
    return table

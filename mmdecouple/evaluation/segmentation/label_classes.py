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

# The labels 1 to 150 of ADE20K's scene parsing benchmark, in order; 0 is none of them.
_ADE = (
    'wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, '
    'door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, '
    'field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base, box, column, '
    'signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator, grandstand, path, '
    'stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge, bookcase, blind, '
    'coffee table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, '
    'swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, '
    'streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, '
    'ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything, '
    'swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food, step, tank, '
    'trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce, '
    'vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, '
    'glass, clock, flag'
)
ADE_CLASSES = tuple(_ADE.split(', '))

# Ids of `*_gtFine_labelIds.png` that are scored; the others are ignored.
CITYSCAPES = {
    'road': 7,
    'sidewalk': 8,
    'building': 11,
    'wall': 12,
    'fence': 13,
    'pole': 17,
    'traffic light': 19,
    'traffic sign': 20,
    'vegetation': 21,
    'terrain': 22,
    'sky': 23,
    'person': 24,
    'rider': 25,
    'car': 26,
    'truck': 27,
    'bus': 28,
    'train': 31,
    'motorcycle': 32,
    'bicycle': 33,
}

# Classes whose connected components are objects; other data has annotated instances or countable classes that merge.
THINGS = {
    'voc': VOC_CLASSES[1:],
    'cityscapes': ('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle'),
    'camvid': ('pole', 'sign', 'car', 'pedestrian', 'bicyclist'),
}

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

"""Images and configs of segmentation measures from the options of `mmdecouple segment`."""

from collections.abc import Sequence

from torch import nn

from mmdecouple.datasets.scenes.settings import scene_settings
from mmdecouple.evaluation.segmentation.base import SegmentationMeasure
from mmdecouple.evaluation.segmentation.head_measures import FCNSegmentation, LinearSegmentation
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.evaluation.segmentation.over_clustering import OverClustering
from mmdecouple.evaluation.segmentation.retrieval import Retrieval
from mmdecouple.evaluation.segmentation.run import check_measures
from mmdecouple.models.backbones import measured_stride
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.errors import UserError

METHODS = {kind.name: kind.__name__ for kind in (LinearSegmentation, FCNSegmentation, OverClustering, Retrieval)}
# Measures that train a head.
HEADS = (LinearSegmentation.name, FCNSegmentation.name)
QUICK_HEAD = dict(epochs=10, drop_at=8, batch_size=32, grid=28, eval_size=100, augment=False)
QUICK = dict(
    linear=dict(QUICK_HEAD, min_steps=1000, batch_norm=True, lr=0.1),
    fcn=dict(QUICK_HEAD, channels=64, eval_size=28),
    overcluster=dict(seeds=1, restarts=1, iterations=50),
    retrieval=dict(memory=10240, groups=2, grid=100),
)


def measure_configs(
    methods: Sequence[str],
    quick: bool = False,
    epochs: int | None = None,
    clusters: Sequence[int | str] | None = None,
    seeds: int | None = None,
) -> list[dict]:
    """Returns configs of the measures, in the order of `methods`.

    Args:
        methods: Keys of `METHODS`; repeats are ignored.
        quick: Whether to compute features once and to use short schedules, small grids and one clustering. The numbers
            are comparable with those of other quick runs only.
        epochs: Epochs of head training; the learning rate drops after 80 % of them. None for the defaults.
        clusters: Numbers of clusters of the over-clustering; None for the default.
        seeds: Number of seeds of every measure; None for the defaults.
    """
    found = []
    for method in dict.fromkeys(methods):
        cfg = dict(type=METHODS[method], **(QUICK[method] if quick else {}))
        if method == 'overcluster' and clusters:
            cfg['clusters'] = tuple(clusters)
        if method in HEADS and epochs is not None:
            cfg.update(epochs=epochs, drop_at=max(round(0.8 * epochs), 1), min_steps=0)
        if seeds is not None:
            cfg['seeds'] = seeds
        found.append(cfg)
    return found


def open_splits(
    data: str, config: dict, quick: bool = False, size: int | None = None, limit: int | None = None
) -> dict[str, SegmentationImages]:
    """Opens the training and the validation images.

    Args:
        data: See `open_source`.
        config: Complete config of a network, for the settings of built-in scenes.
        quick: Whether to use 256 and 128 images only, unless `limit` is given.
        size: Side in pixels; None for the default of the data.
        limit: Maximum number of images of each split; None for all.

    Returns:
        Dict with the keys `train` and `val`.

    Raises:
        UserError: See `SegmentationImages`.
    """
    limits = dict(train=256, val=128) if quick and limit is None else dict(train=limit, val=limit)
    scenes = scene_settings(read_spec('scenes'), config)
    return {split: SegmentationImages(data, split, size, most, scenes) for split, most in limits.items()}


def check_suited(
    name: str, model: nn.Module, images: dict[str, SegmentationImages], measures: Sequence[SegmentationMeasure]
) -> None:
    """Checks that a network can be measured on data, before any network is.

    Args:
        name: Name of the network, for the message.
        model: Algorithm or `ForeignNetwork`.
        images: See `open_splits`.
        measures: The measures.

    Raises:
        UserError: The size of the images does not suit the network, or the data is not sufficient for a measure.
    """
    try:
        check_size(model, images['val'].size)
        check_measures(model, images['train'], images['val'], measures)
    except UserError as error:
        raise UserError(f'{name}: {error}') from error


def check_size(model: nn.Module, size: int) -> None:
    """Checks that images divide into the patches of a ViT.

    Args:
        model: Algorithm with a `measured_backbone`.
        size: Side of an image in pixels.

    Raises:
        UserError: They do not.
    """
    backbone = model.measured_backbone
    patch = measured_stride(backbone) if hasattr(backbone, 'patch_embed') else 1
    if size % patch:
        raise UserError(
            f'segment: images of {size} pixels cannot be divided into patches of {patch} pixels; use another --size, '
            f'such as {max(round(size / patch), 1) * patch}.'
        )

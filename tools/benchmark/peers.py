"""The same views by other packages, where they are installed: files in, two uint8 or float views of 224 pixels out."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines import IBOT, MOCO, Load


def peer_rows(paths: list[str]) -> tuple[dict[str, Load], list[str]]:
    """Returns the pipelines of the peers as functions of an index.

    Args:
        paths: Image files.

    Returns:
        The pipelines by name, and one line for each peer that cannot be imported.
    """
    rows, missing = {}, []
    for package, build in (('lightly', _lightly), ('torchvision v2', _torchvision), ('mmpretrain', _mmpretrain)):
        try:
            rows |= {f'{package}: {name}': _over(paths, load) for name, load in build()}
        except ImportError as error:
            missing.append(f'{package}: not measured, as it cannot be imported ({error}).')
    return rows, missing


def _over(paths: list[str], load: Callable[[str], object]) -> Load:
    return lambda index: load(paths[index % len(paths)])


def _lightly() -> Iterator[tuple[str, Callable[[str], object]]]:
    from lightly.transforms import IBOTTransform, MoCoV2Transform
    from PIL import Image

    for name, transform in (
        (MOCO, MoCoV2Transform(input_size=224)),
        (IBOT, IBOTTransform(global_crop_size=224, n_local_views=0)),
    ):
        yield name, lambda path, transform=transform: transform(Image.open(path).convert('RGB'))


def _torchvision() -> Iterator[tuple[str, Callable[[str], object]]]:
    from torchvision.io import ImageReadMode, decode_image, read_file
    from torchvision.transforms import v2

    view = v2.Compose(
        [
            v2.RandomResizedCrop(224, scale=(0.2, 1.0)),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(13, (0.1, 2.0))], p=0.5),
            v2.RandomHorizontalFlip(),
        ]
    )

    def load(path: str) -> list:
        image = decode_image(read_file(path), ImageReadMode.RGB)
        return [view(image), view(image)]

    yield MOCO, load


def _mmpretrain() -> Iterator[tuple[str, Callable[[str], object]]]:
    import mmpretrain.datasets
    from mmcv.transforms import Compose
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    base = Path(mmpretrain.__file__).parent / '.mim/configs/_base_/datasets/imagenet_bs32_mocov2.py'
    pipeline = Config.fromfile(base).train_dataloader.dataset.pipeline
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        transform = Compose(pipeline)
    yield MOCO, lambda path: transform(dict(img_path=path))

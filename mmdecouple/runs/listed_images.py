"""What the record of a run says about the images of its data set."""

import os.path as osp
import zlib
from typing import Any

from mmengine.dist import all_gather_object

from mmdecouple.utils.errors import UserError


def common_digest(dataset: Any) -> str | None:
    """Returns the digest of the names of the images in their order, None for a data set without one.

    All processes of the run must call it.

    Args:
        dataset: Data set, or one that wraps it in its attribute `dataset`.

    Raises:
        UserError: The processes found different images, so that an epoch would repeat some and leave out others. The
            error is raised in all processes.
    """
    found = all_gather_object(getattr(getattr(innermost(dataset), 'paths', None), 'digest', None))
    for rank, digest in enumerate(found):
        if digest != found[0]:
            raise UserError(
                f'process {rank} found other images than process 0 (config key train_dataloader.dataset); give all '
                'hosts the same files, wait until they are complete, and start again.'
            )
    return found[0]


def described(dataset: Any) -> str:
    """Returns the type and, for files, the first and last name with a checksum of up to about a thousand names."""
    dataset = innermost(dataset)
    paths = getattr(dataset, 'paths', None)
    kind = type(dataset).__name__
    if not paths:
        return kind
    names = [osp.basename(path) for path in paths[:: max(1, len(paths) // 1000)]]
    checksum = zlib.crc32(chr(0).join(names).encode('utf-8', 'surrogatepass'))
    return f'{kind} {names[0]} .. {osp.basename(paths[-1])} ({checksum:08x})'


def innermost(dataset: Any) -> Any:
    """Returns the data set that has the images, of one that wraps it in its attribute `dataset`."""
    while not hasattr(dataset, 'paths') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset

"""Segmentation data of which not every image has a map; the one module here that imports mmseg."""
from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmdecouple.registry import DATASETS


@DATASETS.register_module()
class MappedImages(BaseSegDataset):
    """mmseg's `BaseSegDataset` of the images whose map exists.

    Args: see mmseg's class.
    """

    def load_data_list(self) -> list[dict]:
        """The records that have a map."""
        return [record for record in super().load_data_list() if Path(record['seg_map_path']).is_file()]

from mmdecouple.datasets.transforms.geometry import map_boxes, source_to_view, view_to_source
from mmdecouple.datasets.transforms.masks import DrawCutMask
from mmdecouple.datasets.transforms.photometric import (RandomColorJitter, RandomGaussianBlur,
                                                        RandomGrayscale, RandomSolarize)
from mmdecouple.datasets.transforms.views import (MultiView, PackViews, RandomFlipView,
                                                  RandomResizedCropView)

__all__ = [
    'DrawCutMask', 'MultiView', 'PackViews', 'RandomColorJitter', 'RandomFlipView',
    'RandomGaussianBlur', 'RandomGrayscale', 'RandomResizedCropView', 'RandomSolarize', 'map_boxes',
    'source_to_view', 'view_to_source'
]

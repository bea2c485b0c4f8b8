"""Transforms of the input pipeline: views with geometry, photometric augmentation, proposals."""

from mmdecouple.datasets.transforms.box_views import BoxViews
from mmdecouple.datasets.transforms.deferring import defer_photometric, defer_views
from mmdecouple.datasets.transforms.overlap_views import OverlapViews
from mmdecouple.datasets.transforms.partner_views import PartnerViews
from mmdecouple.datasets.transforms.photometric import (
    PhotometricTransform,
    RandomColorJitter,
    RandomGaussianBlur,
    RandomGrayscale,
    RandomSolarize,
)
from mmdecouple.datasets.transforms.proposals import GridProposals, LoadProposals
from mmdecouple.datasets.transforms.views import (
    MultiView,
    PackViews,
    RandomFlipView,
    RandomResizedCropView,
    WholeImageView,
    WindowView,
)
from mmdecouple.utils.geometry import map_boxes, source_to_view, view_to_source

__all__ = [
    'BoxViews',
    'GridProposals',
    'LoadProposals',
    'MultiView',
    'OverlapViews',
    'PackViews',
    'PartnerViews',
    'PhotometricTransform',
    'RandomColorJitter',
    'RandomFlipView',
    'RandomGaussianBlur',
    'RandomGrayscale',
    'RandomResizedCropView',
    'RandomSolarize',
    'WholeImageView',
    'WindowView',
    'defer_photometric',
    'defer_views',
    'map_boxes',
    'source_to_view',
    'view_to_source',
]

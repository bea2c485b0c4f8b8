"""What a card measures on given data: its pieces, and what is left out for which reason."""

import math
import os
from dataclasses import dataclass, field
from typing import Any

from mmdecouple.card.coupling import MEASURES as COUPLING
from mmdecouple.card.coupling import CouplingPiece
from mmdecouple.card.pieces import Piece
from mmdecouple.card.segmentation import SIZES, LabelledData, SegmentationPiece, segmentation_pieces
from mmdecouple.evaluation.measures.base import NothingToMeasure
from mmdecouple.evaluation.probes.size_check import check_sizes
from mmdecouple.evaluation.probes.suites import probe_config
from mmdecouple.evaluation.segmentation.images import SegmentationImages
from mmdecouple.evaluation.segmentation.label_sources import LabelFiles
from mmdecouple.evaluation.segmentation.suites import open_splits
from mmdecouple.networks.foreign import TimmBackbone
from mmdecouple.networks.inference import try_size
from mmdecouple.networks.network import Network
from mmdecouple.registry import DATASETS, MEASURES
from mmdecouple.utils.data_spec import COMPONENTS, LABELS, MEASURED, OBJECTS, DataSpec, read_spec
from mmdecouple.utils.errors import UserError

_SIDE = 224
_SEGMENTATION = ('linear', 'linear, four taps', 'K = 500', 'retrieval', 'retrieval-D')


@dataclass
class Plan:
    """Pieces of a card.

    Attributes:
        data: Specification of the data.
        limit: Maximum number of images, pairs, objects and windows of each piece.
        seed: Seed of the draws.
        pieces: The pieces in their order.
        left_out: Reason -> titles of what is left out.
    """

    data: str
    limit: int
    seed: int
    pieces: list[Piece] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, title: str, reason: str) -> None:
        """Records that a piece is left out."""
        self.left_out.setdefault(reason.rstrip('.'), []).append(title)


def plan_card(networks: dict[str, Network], data: str, limit: int, seed: int = 0) -> Plan:
    """Returns the pieces of the cards of networks, which share all images and draws.

    Args:
        networks: Name -> network.
        data: Specification of the data, see `read_spec`.
        limit: Maximum number of images, pairs, objects and windows of each piece, at least 2.
        seed: Seed of the draws.

    Raises:
        UserError: The data cannot be used, holds fewer than two images or no label, or a label map does not fit its
            image.
    """
    if limit < 2:
        raise UserError(
            f'card: {limit} image is too few, as surroundings are swapped between images; use at least 2 (--limit).'
        )
    plan, spec = Plan(data, limit, seed), read_spec(data)
    config = next((network.config for network in networks.values() if network.config is not None), {})
    regions = spec
    if spec.kind in LABELS:
        labelled = _labelled(networks, data, config, limit)
        plan.pieces += segmentation_pieces(labelled)
        if isinstance(labelled.val.source, LabelFiles):
            regions = DataSpec('folder', os.path.dirname(labelled.val.source.pairs[0][0]))
    else:
        for title in _SEGMENTATION:
            plan.leave_out(title, f'label maps are needed, which {data} does not have')
    if spec.kind not in MEASURED:
        # Label maps of classes that are not things: random regions of the scored images take the place of objects.
        spec = regions
    _add_coupling(plan, networks, spec, config, regions)
    return plan


def _labelled(networks: dict[str, Network], data: str, config: Any, limit: int) -> LabelledData:
    images = open_splits(data, config, limit=limit)
    size = _supported_side(networks, images['val'].size)
    images = {split: SegmentationImages(each.source, size=size, limit=limit) for split, each in images.items()}
    for split, where in (('train', 'training'), ('val', 'scored')):
        if len(images[split]) < 2:
            raise UserError(
                f'card: {images[split].source.name} holds {len(images[split])} {where} image; at least two are '
                'required, as surroundings are swapped between images (--data).'
            )
    _check_classes(images)
    return LabelledData.read(images['train'], images['val'], tuple(sorted({min(side, size) for side in SIZES})))


def _supported_side(networks: dict[str, Network], side: int) -> int:
    """Returns the side of the images of all networks: the given one, or for networks of a fixed size another.

    Raises:
        UserError: The networks support none of the given side, the usual one, and those for which they are made.
    """
    backbones = [network.model.measured_backbone for network in networks.values()]
    own = [backbone.made_for[0] for backbone in backbones if isinstance(backbone, TimmBackbone)]
    sides = dict.fromkeys(_side(networks, each) for each in (side, _SIDE, *own))
    for chosen in sides:
        try:
            _try_side(networks, chosen)
            return chosen
        except UserError as error:
            refusal = error
    if len(networks) == 1:
        raise refusal
    for name, network in networks.items():
        # A network that no size suits is named.
        _supported_side({name: network}, side)
    raise UserError(
        f'card: no size of images suits all of {", ".join(networks)} ({", ".join(map(str, sides))} pixels were tried); '
        'write a card for each of the sizes.'
    )


def _try_side(networks: dict[str, Network], side: int) -> None:
    for name, network in networks.items():
        try:
            try_size(network.model, side, side)
        except UserError as error:
            raise UserError(f'card: {name}: {error}') from error


def _check_classes(images: dict[str, SegmentationImages]) -> None:
    if images['train'].classes != images['val'].classes:
        raise UserError(
            f'card: {images["train"].source.name} and {images["val"].source.name} have different classes; use two '
            'splits of one data set (--data).'
        )


def _add_coupling(plan: Plan, networks: dict[str, Network], spec: DataSpec, config: Any, regions: DataSpec) -> None:
    """Adds the measures of coupling that the data has candidates for; `regions` takes over where it has no objects."""
    given: dict[str, Any] = dict(seed=plan.seed, limit=plan.limit, cell=max(each.cell for each in networks.values()))
    probe = probe_config(str(spec), config, **given)
    # A network that cannot be read at all must not end in a card from which everything is left out.
    given['size'] = _supported_side(networks, probe.get('size', _SIDE))
    probe = probe_config(str(spec), config, **given)
    roles = {role: dict(probe[role]) for role in ('objects', 'bank', 'singles') if probe.get(role)}
    if spec.kind in COMPONENTS:
        # All label maps of a large data set take minutes. Not every image has an object that is large enough: of 64
        # frames of CamVid, 14 have none for the context shift.
        roles = {role: dict(each, limit=2 * plan.limit) for role, each in roles.items()}
    # Built once, as reading the annotations may take longer than a measure.
    try:
        sources = {role: DATASETS.build(each) for role, each in roles.items()}
    except UserError as error:
        if spec.kind in COMPONENTS and isinstance(error, NothingToMeasure):
            _add_coupling(plan, networks, regions, config, regions)
            return
        if not (plan.pieces or isinstance(error, NothingToMeasure)):
            raise
        for title in COUPLING.values():
            plan.leave_out(title, str(error).partition(';')[0].partition(': ')[2])
        return
    annotated = spec.kind in (*OBJECTS, *COMPONENTS)
    for name, title in COUPLING.items():
        probe = {**probe_config(str(spec), config, **given, measures=[name]), **sources}
        if not annotated and MEASURES.build(dict(probe['measures'][0])).of == 'objects':
            plan.leave_out(title, f'annotated objects are needed, which {plan.data} does not have')
            continue
        try:
            check_sizes(networks, probe)
        except UserError as error:
            plan.leave_out(title, str(error).partition(';')[0])
            continue
        try:
            plan.pieces.append(CouplingPiece(name, DATASETS.build(probe)))
        except NothingToMeasure as error:
            plan.leave_out(title, _reason(name, error))


def _reason(name: str, error: UserError) -> str:
    """Returns why a measure has nothing to draw, without its name and without advice about configs."""
    reason = str(error).partition('; relax')[0]
    for start in ('ProbeDataset: nothing to measure: ', f'{name}: ', 'left out, ', 'as '):
        reason = reason.removeprefix(start)
    return reason


def _side(networks: dict[str, Network], side: int) -> int:
    """Returns the multiple of all cells that is nearest to a side in pixels."""
    common = math.lcm(*(network.cell for network in networks.values()))
    return max(round(side / common), 1) * common


def first_of_segmentation(pieces: list[Piece]) -> SegmentationPiece | None:
    """Returns the first piece of segmentation among pieces; None if there is none."""
    return next((piece for piece in pieces if isinstance(piece, SegmentationPiece)), None)

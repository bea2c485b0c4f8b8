"""The de-coupling branch, which turns any dense method into its "-D" form and depends on no method."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.masks import build_mask
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.settings import Settings

from .alignments import ALIGNMENTS, DenseObjective
from .cells import mask_grid
from .composition import DecoupledViews, draw_partners, draw_rows, mix_pixels
from .positions import PositionSet
from .regions import Regions, uncut_fraction

_CHOICES = dict(
    weighting=('convex', 'additive'),
    background=('partner', 'none'),
    foreground=('uncut', 'half'),
    alignment=tuple(ALIGNMENTS),
    partner_view=('same', 'other'),
    mixing=('pixel', 'embedding'),
)
# A region of which the mask leaves a smaller fraction is too small to pool.
_MIN_COVERAGE = 1e-3


class DecouplingBranch:
    """Matches the student's features of a decoupled view to the teacher's of the clean view, on the foreground.

    L = (1 - w) L_base + w L_DC (convex, the paper's eq. 7) or L_base + w L_DC (additive, the authors' release),
    L_DC = mean over decoupled views of 1 / |F| sum_{j in F} loss(student(X^D)_j, teacher(X)_j) (eq. 6).

    Args:
        mask: Config of the mask sampler that draws M; see `mmdecouple.masks.build_mask`.
        loss_weight: w, the paper's lambda, at least 0, and at most 1 for `weighting='convex'`. At 0 the branch is
            disabled, and the method is the base method bit for bit.
        weighting: `convex` or `additive`.
        ratio: Number of decoupled views per image of the batch, over all V key views together, in (0, V]. The paper's
            Table 8 counts 0.25; the release takes 0.25 of each of iBOT's two views, 0.5 in total.
        background: `partner`: X^B is another image of the batch. `none`: X^D = X, the control that keeps the
            same-position loss on the foreground and omits the mixing.
        foreground: `uncut`: F is the part that M does not cut. `half`: for the second half of the decoupled views of
            each key view, M and F are exchanged (the release).
        alignment: `point_to_point`, `average` or `point_to_all`.
        partner_view: Key view that the background is taken from: `same` for the view that is decoupled, `other` for
            the next key view (the release). With one key view, both are the same.
        mixing: `pixel`: X^D is an image. `embedding`: the student mixes patch embeddings, and no gradient flows to the
            background (the release); for methods whose `flow.mixes_embeddings` is True.
        mask_stride: Side of a mask cell in pixels; None draws M on the grid of the method's dense output. With a finer
            mask, a dense position is foreground if at least half of it is uncut.

    Raises:
        SettingError: A choice is unknown, or a number is out of range.

    Source: paper section 4.1.2 and App. E.2; `ztt1024/denseSSL main_ibot.py` for the options of the release.
    """

    def __init__(
        self,
        mask: dict,
        loss_weight: float = 0.3,
        weighting: str = 'convex',
        ratio: float = 0.25,
        background: str = 'partner',
        foreground: str = 'uncut',
        alignment: str = 'point_to_point',
        partner_view: str = 'same',
        mixing: str = 'pixel',
        mask_stride: int | None = None,
    ) -> None:
        chosen = dict(
            weighting=weighting,
            background=background,
            foreground=foreground,
            alignment=alignment,
            partner_view=partner_view,
            mixing=mixing,
        )
        check = Settings(self, 'model.decoupling')
        for key, value in chosen.items():
            check.choice(key, value, _CHOICES[key])
        check.number('loss_weight', loss_weight, 0, 1 if weighting == 'convex' else None)
        check.number('ratio', ratio, above=0)
        check.number('mask_stride', mask_stride, 1, whole=True, optional=True)
        self.mask = build_mask(mask)
        self.loss_weight = loss_weight
        self.weighting = weighting
        self.ratio = ratio
        self.background = background
        self.foreground = foreground
        self.align = ALIGNMENTS[alignment]
        self.partner_view = partner_view
        self.mixing = mixing
        self.mask_stride = mask_stride

    @property
    def enabled(self) -> bool:
        """Whether the branch has any effect."""
        return self.loss_weight > 0

    @property
    def averages_features(self) -> bool:
        """Whether features are averaged over the foreground before the loss, instead of being compared one by one."""
        return self.align is ALIGNMENTS['average']

    def compose(
        self,
        key_views: Sequence[Tensor],
        dense_size: tuple[int, int],
        generator: torch.Generator,
        regions: Regions | None = None,
        bins: int = 7,
    ) -> DecoupledViews:
        """Draws rows, partners and masks, and composes the decoupled views.

        Args:
            key_views: The V clean key views, each (B, 3, H, W).
            dense_size: Positions (h, w) of the method's dense output for such a view.
            generator: Source of all draws, on the CPU, so that the number of foreground positions is known without
                synchronizing with the device.
            regions: Regions of the stacked key views, on the CPU, with boxes (V * B, K, 4). Masks are drawn on them,
                and they are the positions of the loss, (D, K): each proposal once, if the mask leaves a part of it.
            bins: Bins along each side of a region, for which the uncut fraction is computed.

        Returns:
            The D decoupled views, on the device of the key views.

        Raises:
            UserError: The batch has one image, or the mask does not divide the view or the dense output.
        """
        batch_size, num_views = len(key_views[0]), len(key_views)
        per_view = self._per_view(batch_size, num_views)
        rows = draw_rows(batch_size, num_views, per_view, generator)
        partners = (
            rows
            if self.background == 'none'
            else draw_partners(rows, batch_size, num_views, self.partner_view == 'other', generator)
        )
        size = self._mask_size(key_views[0].shape[-2:], dense_size, regions is not None)
        chosen = None if regions is None else regions.at(rows)
        cells = None if chosen is None else chosen.boxes * torch.tensor([size[1], size[0]] * 2)
        cut_mask = self.mask.sample(len(rows), size, generator=generator, regions=cells)
        if self.foreground == 'half':
            second = (torch.arange(len(rows)) % per_view) >= (per_view + 1) // 2
            cut_mask = cut_mask ^ second[:, None, None]
        device, coverage = key_views[0].device, None
        if chosen is None:
            mask = self.foreground_of(cut_mask, dense_size)
        else:
            coverage = uncut_fraction(cut_mask, chosen.boxes, bins)
            mask = (chosen.first() & (coverage.mean((2, 3)) > _MIN_COVERAGE)).float()
            coverage = coverage.to(device, non_blocking=True)
        foreground = PositionSet.of(mask)
        rows, partners, cut_mask = (part.to(device, non_blocking=True) for part in (rows, partners, cut_mask))
        images = None
        if self.mixing == 'pixel':
            images = mix_pixels(torch.cat(list(key_views)), rows, partners, cut_mask)
        return DecoupledViews(images, cut_mask, rows, partners, foreground.to(device), coverage)

    def __call__(
        self,
        base: dict[str, Tensor],
        student: Tensor,
        target: Tensor,
        foreground: PositionSet,
        objective: DenseObjective,
    ) -> dict[str, Tensor]:
        """Weights the base terms and adds the decoupling loss.

        Args:
            base: Named terms of the base loss: the sum of the `loss_*` terms is L_base, the others are logged.
            student: Dense features of X^D from the student, (D, P, C).
            target: Dense features of the clean views from the teacher at the same positions, (D, P, C').
            foreground: Positions that the loss is computed on, of D views with P positions each.
            objective: The method's loss of matched positions.

        Returns:
            The weighted base terms, the weighted `loss_decoupling`, and for the log `decoupling` (L_DC) and
            `foreground_share` (mean of F).
        """
        value = self.align(student, target, foreground, objective)
        keep = 1 - self.loss_weight if self.weighting == 'convex' else 1
        losses = {name: keep * term if name.startswith('loss') else term for name, term in base.items()}
        losses['loss_decoupling'] = self.loss_weight * value
        losses['decoupling'] = value.detach()
        losses['foreground_share'] = foreground.mask.mean()
        return losses

    @staticmethod
    def foreground_of(cut_mask: Tensor, dense_size: tuple[int, int]) -> Tensor:
        """Returns F on the dense grid from M on the mask grid: bool (D, h, w) -> (D, P), 0 or 1."""
        visible = F.adaptive_avg_pool2d((~cut_mask).float(), dense_size)
        return (visible >= 0.5).float().flatten(1)

    def _per_view(self, batch_size: int, num_views: int) -> int:
        if batch_size < 2:
            raise UserError(
                'DecouplingBranch: a batch of one image contains no other image to use as background; use at least '
                '2 images per device and drop_last=True (config key train_dataloader.batch_size).'
            )
        if self.ratio > num_views:
            Settings(self, 'model.decoupling').refuse(
                'ratio', f'must not exceed {num_views}, the decoupled views of an image, got {self.ratio}'
            )
        return min(max(round(self.ratio * batch_size / num_views), 1), batch_size)

    def _mask_size(self, view: Sequence[int], dense_size: tuple[int, int], on_regions: bool) -> tuple[int, int]:
        key = 'model.decoupling.mask_stride'
        if self.mask_stride is None:
            size = dense_size
            if view[0] % size[0] or view[1] % size[1]:
                raise UserError(
                    f'DecouplingBranch: a dense output of {size[0]} x {size[1]} positions does not '
                    f'divide a view of {view[0]} x {view[1]} pixels; change the view size or set '
                    f'the config key {key}.'
                )
            return size
        size = mask_grid(view, self.mask_stride, 'DecouplingBranch', key)
        if not on_regions and (size[0] % dense_size[0] or size[1] % dense_size[1]):
            raise UserError(
                f'DecouplingBranch: a mask of {size[0]} x {size[1]} cells does not divide into a '
                f'dense output of {dense_size[0]} x {dense_size[1]} positions (config key {key}).'
            )
        return size

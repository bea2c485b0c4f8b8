"""Methods whose draws belong to the joint batch of all processes, and a hook that keeps the joint batch's losses.

`EpochSampler` deals an epoch's images out in turn: image b of process r is image b * processes + r of the joint batch.
"""

import dataclasses
import json
from pathlib import Path
from unittest import mock

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook

from mmdecouple.decoupling import DecouplingBranch, branch
from mmdecouple.models.algorithms import IBOT, Leopart, MaskAlign, NeCo, PaKA, PixPro, ReSim, SoCo
from mmdecouple.models.algorithms.ibot import MIMMasks
from mmdecouple.models.data_preprocessor import DensePreprocessor
from mmdecouple.models.losses import NeighborOrder, SoftSort
from mmdecouple.registry import HOOKS, MODELS

JOINT = """
_base_ = ['{method}.py']
custom_imports = dict(imports=['tests.integration.resume_case', 'tests.integration.joint_case'])
model = dict(type='Joint' + _base_.model.type, data_preprocessor=dict(type='JointPreprocessor'))
if model['type'] in ('JointSoCo', 'JointPixPro'):
    # In place of batch norm, which torch shares between processes on GPUs only; no draws but the branch's.
    norm = dict(norm_cfg=dict(_delete_=True, type='GN', num_groups=4))
    model.update(backbone=norm, neck=norm, predictor=norm)
    if model['type'] == 'JointPixPro':
        model['instance_predictor'] = norm
    model['data_preprocessor']['batch_stages'] = []
elif model['type'] == 'JointReSim':
    model.update(backbone=dict(out_indices=(1, 2), norm_cfg=dict(_delete_=True, type='GN', num_groups=4)))
    # One map, whose negatives are those of all processes.
    model.update(neck=dict(in_channels=[16, 32], top_down=False), windows=((24, 8), ))
else:
    model['backbone'] = dict(drop_path_rate=0.)
if 'decoupling' in _base_.model:
    model['decoupling'] = dict(type='JointBranch')
if model['type'] == 'JointLeopart':
    # Each process has its own queues, and its own number of foreground cells unless all views have equally many.
    model['queue_length'] = 0
    if 'decoupling' in _base_.model:
        model['decoupling']['mask'] = dict(_delete_=True, type='RandomMask', cut_ratio=0.5)
custom_hooks = _base_.custom_hooks + [dict(type='JointLossHook')]
train_cfg = dict(max_epochs=2)
find_unused_parameters = False
"""


def own_part(joint: torch.Tensor, views: int) -> torch.Tensor:
    """This process's rows of the joint batch's, both stacked view after view."""
    return joint.unflatten(0, (views, -1, get_world_size()))[:, :, get_rank()].flatten(0, 1)


def in_joint(own: torch.Tensor | None, views: int) -> torch.Tensor | None:
    """Rows of the joint batch of which only this process's are known, the others 0."""
    if own is None:
        return None
    joint = own.unflatten(0, (views, -1))[:, :, None].repeat(1, 1, get_world_size(), *[1] * (own.ndim - 1))
    joint[:, :, torch.arange(get_world_size()) != get_rank()] = 0
    return joint.flatten(0, 2)


@MODELS.register_module()
class JointPreprocessor(DensePreprocessor):
    """Draws the same on all processes."""

    def set_step(self, seed, rank, iteration):
        super().set_step(seed, 0, iteration)


@MODELS.register_module()
class JointIBOT(IBOT):
    """Draws the masks of the joint batch and keeps its part."""

    def prepare(self, step, generator):
        views = [view.new_empty(len(view) * get_world_size(), *view.shape[1:]) for view in step.views]
        masks = MIMMasks.of(own_part(super().prepare(dataclasses.replace(step, views=views), generator).mask, 2))
        return masks.by_distance() if self.visible_by_distance else masks


@MODELS.register_module()
class JointMaskAlign(MaskAlign):
    """Sees the patches with most attention."""

    def draw_visible(self, attention):
        return attention.topk(int(attention.shape[1] * (1 - self.mask_ratio)), dim=1).indices


@MODELS.register_module()
class JointLeopart(Leopart):
    """Counts every patch as foreground."""

    def teacher_forward(self, step):
        outputs = super().teacher_forward(step)
        return {**outputs, 'mask': torch.ones_like(outputs['mask'])}


@MODELS.register_module()
class JointNeCo(NeCo):
    """Takes the references from the next image but one of the joint batch, which is on the same process."""

    def prepare(self, step, generator):
        images, patches = len(step.views[0]), 16
        image = (torch.arange(images)[:, None] + 2 // get_world_size()) % images
        return (image * patches + torch.arange(self.references)).expand(2, -1, -1)

    def objective(self, step):
        # The first image of the joint batch, whose references the branch uses, is on one process only.
        references = torch.eye(step.teacher['dense'].shape[2])[: self.references]
        return NeighborOrder(references, SoftSort(len(references), 100.0))


@MODELS.register_module()
class JointReSim(ReSim):
    """Compares each window with the same place of the key view, as the number of shown windows differs by process."""

    def prepare(self, step, generator):
        (pairs,) = super().prepare(step, generator)
        key = pairs.query.expand_as(pairs.key)
        return [pairs._replace(key=key, shown=torch.arange(key[..., 0].numel()))]


MODELS.register_module('JointSoCo', module=SoCo)
MODELS.register_module('JointPaKA', module=PaKA)
MODELS.register_module('JointPixPro', module=PixPro)


@MODELS.register_module()
class JointBranch(DecouplingBranch):
    """Decouples the same images, with the same partners and masks, however many processes share the batch."""

    def compose(self, key_views, *args):
        views, sample = len(key_views), self.mask.sample
        masks = mock.patch.object(
            self.mask,
            'sample',
            lambda count, *args, regions, **kwargs: own_part(
                sample(count * get_world_size(), *args, regions=in_joint(regions, views), **kwargs), views
            ),
        )
        with masks, mock.patch.multiple(branch, draw_rows=own_rows, draw_partners=own_partners):
            return super().compose(key_views, *args)


def own_rows(batch_size, num_views, per_view, generator):
    """The first two of each four images of the joint batch, whatever the ratio: equally many for each process."""
    images = torch.arange(batch_size)
    images = images[(images * get_world_size() + get_rank()) % 4 < 2]
    return torch.cat([images + view * batch_size for view in range(num_views)])


def own_partners(rows, batch_size, num_views, other_view, generator):
    """The next image but one of the joint batch, which is on the same process."""
    view = (rows // batch_size + int(other_view)) % num_views
    return view * batch_size + (rows + 2 // get_world_size()) % batch_size


@HOOKS.register_module()
class JointLossHook(Hook):
    """Writes the mean of each loss term over the processes to `losses.json`, one record an iteration."""

    def before_train(self, runner):
        self.records = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        values = torch.tensor(list(outputs.values()), dtype=torch.float64)
        all_reduce(values, op='mean')
        self.records.append(dict(zip(outputs, values.tolist())))

    def after_train(self, runner):
        if is_main_process():
            Path(runner.work_dir, 'losses.json').write_text(json.dumps(self.records))

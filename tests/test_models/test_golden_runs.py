"""Runs of ten steps under shipped configs equal the authors': losses, student, teacher, centers and queues."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmdecouple.models import Step
from mmdecouple.models.algorithms.ibot import MIMMasks

from . import test_pixpro
from .golden import formula
from .golden_models import HEAD, VIT, load, own_vit_name, released_views
from .golden_runs import GoldenRun
from .test_leopart import geometry_of

SMALL = dict(VIT, arch=dict(VIT['arch'], _delete_=True), drop_path_rate=0.0)


def ibot_run(name: str, config: str, changes: dict | None = None, prepare=lambda model: None) -> GoldenRun:
    golden = load(name)
    schedule, number, locals_ = golden['schedule'], golden['batch'], golden['locals']

    def batch(step: int) -> dict:
        views = [formula.image(f'view {v} step {step}', number, 32) for v in range(2)]
        views += [formula.image(f'local {v} step {step}', number, 16) for v in range(locals_)]
        return dict(inputs=views, data_samples=[SimpleNamespace(step=step)] * number)

    def masks(step: Step, generator: torch.Generator) -> MIMMasks:
        return MIMMasks.of(torch.cat([formula.from_text(view) for view in golden['masks'][step.samples[0].step]]))

    def given(model) -> None:
        model.prepare = masks
        prepare(model)

    return GoldenRun(
        golden,
        config,
        {
            'model.backbone': SMALL,
            'model.neck': HEAD,
            'model.local_views': locals_,
            'model.warmup_epochs': schedule['temperature_warmup'],
            'param_scheduler.0.warmup': schedule['warmup'],
            'optim_wrapper.clip_grad.max_norm': schedule['clip'],
            **(changes or {}),
        },
        own_vit_name,
        batch,
        given,
        state=lambda model: {'class center': model.class_center.value, 'patch center': model.patch_center.value},
    )


IBOT_TERMS = {'cls': 'loss_class', 'patch': 'loss_patch', 'loss': 'loss'}


def test_ten_steps_of_ibot_equal_the_authors(tmp_path):
    run = ibot_run('run_ibot', 'ibot/ibot_vit-s16_8x64-800e_coco.py')
    run.check(run.train(tmp_path), IBOT_TERMS)


def test_ten_steps_of_ibot_with_local_views_equal_the_authors(tmp_path):
    run = ibot_run('run_ibot_locals', 'ibot/ibot-mc_vit-s16_8x64-800e_coco.py')
    run.check(run.train(tmp_path), IBOT_TERMS)


def test_ten_steps_of_the_released_ibot_d_equal_the_authors(tmp_path):
    golden = load('run_ibot_release')

    def prepare(model) -> None:
        masks = model.prepare

        def drawn(step: Step, generator: torch.Generator) -> MIMMasks:
            given = golden['drawn'][step.samples[0].step]
            model.decoupling.compose = lambda views, *rest: released_views(given, views, model.decoupling.mixing)
            return masks(step, generator)

        model.prepare = drawn

    run = ibot_run('run_ibot_release', 'ibot/ibot-d_vit-s16_8x64-800e_coco_release.py', prepare=prepare)
    run.check(run.train(tmp_path), {**IBOT_TERMS, 'dc': 'decoupling'})


def contrast_run(name: str, config: str, changes: dict, own_name) -> GoldenRun:
    golden = load(name)
    sizes, number = golden['sizes'], golden['batch']

    def keys(queue: str) -> torch.Tensor:
        shape = sizes['queue'], sizes['channels']
        return F.normalize(formula.tensor(queue, shape).double(), dim=1)

    def batch(step: int) -> dict:
        views = [formula.image(f'view {v} step {step}', number, sizes['image']) for v in range(2)]
        return dict(inputs=views, data_samples=None)

    queues = {'queue': 'queue.keys', 'dense queue': 'dense_queue.keys'}
    queues = {theirs: ours for theirs, ours in queues.items() if theirs in golden['norms']}
    return GoldenRun(
        golden,
        config,
        {
            'param_scheduler.0.T_max': 5,
            'param_scheduler.0.end': 5,
            'model.queue_length': sizes['queue'],
            'model.channels': sizes['channels'],
            'model.neck.hid_channels': sizes['hidden'],
            'model.neck.out_channels': sizes['channels'],
            'model.backbone.depth': 18,
            **changes,
        },
        own_name,
        batch,
        start={ours: keys(theirs) for theirs, ours in queues.items()},
        state=lambda model: {theirs: model.get_buffer(ours) for theirs, ours in queues.items()},
    )


def test_ten_steps_of_densecl_equal_the_authors(tmp_path):
    run = contrast_run(
        'run_densecl',
        'densecl/densecl_r50_8xb32-800e_coco.py',
        {
            'model.backbone.num_stages': 2,
            'model.backbone.strides': (1, 2),
            'model.backbone.dilations': (1, 1),
            'model.backbone.out_indices': (1,),
            'model.neck.in_channels': 128,
        },
        lambda name: name.replace('0.', 'backbone.', 1) if name.startswith('0.') else name.replace('1.', 'neck.', 1),
    )
    run.check(
        run.train(tmp_path), {'loss': 'loss', 'loss_contra_single': 'loss_global', 'loss_contra_dense': 'loss_dense'}
    )


def test_ten_steps_of_mocov2_equal_the_authors(tmp_path):
    run = contrast_run(
        'run_mocov2',
        'mocov2/mocov2_r50_8xb32-800e_coco.py',
        {'model.backbone.base_channels': 8, 'model.backbone.stem_channels': 64, 'model.neck.in_channels': 64},
        lambda name: name.replace('fc.', 'neck.mlp.') if name.startswith('fc.') else f'backbone.{name}',
    )
    run.check(run.train(tmp_path), {'loss': 'loss'})


def own_soco_name(name: str) -> str:
    part, rest = name.split('.', 1)
    for theirs, ours in {'linear1': 'fc0', 'bn1': 'bn0', 'linear2': 'fc1'}.items() if part != 'encoder' else ():
        rest = rest.replace(theirs, ours)
    return f'{ {"encoder": "backbone", "projector": "neck", "predictor": "predictor"}[part] }.{rest}'


def test_ten_steps_of_soco_equal_the_authors(tmp_path):
    golden = load('run_soco')
    sizes, schedule = golden['sizes'], golden['schedule']

    def batch(step: int) -> dict:
        boxes = torch.tensor(golden['boxes'][step])
        samples = [
            SimpleNamespace(boxes=boxes[:, image].double(), box_ids=torch.tensor(ids))
            for image, ids in enumerate(golden['ids'][step % 2])
        ]
        views = [formula.image(f'view {v} step {step}', sizes['batch'], sizes['image']) for v in range(2)]
        return dict(inputs=views, data_samples=samples)

    mlp = dict(out_channels=sizes['out'], norm_cfg=dict(type='BN1d'))
    run = GoldenRun(
        golden,
        'soco/soco-c4_r50_8xb128-800e_coco.py',
        {
            'model.backbone': dict(depth=18, stem_channels=8, base_channels=8, norm_cfg=dict(type='BN')),
            'model.neck': dict(mlp, in_channels=64, hid_channels=sizes['projector_hidden']),
            'model.predictor': dict(mlp, in_channels=sizes['out'], hid_channels=sizes['predictor_hidden']),
            'model.data_preprocessor.batch_stages': [],
            'param_scheduler.0.warmup': schedule['warmup'],
        },
        own_soco_name,
        batch,
    )
    run.check(run.train(tmp_path), {'loss': 'loss', '12': 'loss_12', '21': 'loss_21'})


@pytest.mark.parametrize('form, name', [('pixpro', 'run_pixpro'), ('pixpro-instance', 'run_pixpro_instance')])
def test_ten_steps_of_pixpro_equal_the_authors(tmp_path, form, name):
    golden = load(name)
    sizes, schedule = golden['sizes'], golden['schedule']
    geometry = test_pixpro.geometry_of(golden['windows']).double()

    def batch(step: int) -> dict:
        views = [formula.image(f'view {v} step {step}', sizes['batch'], sizes['image']) for v in range(2)]
        samples = [SimpleNamespace(geometry=windows) for windows in geometry.roll(step, 1).unbind(1)]
        return dict(inputs=views, data_samples=samples)

    norm, instance = dict(norm_cfg=dict(type='BN')), form == 'pixpro-instance'
    mlp = dict(norm, out_channels=sizes['out'])
    run = GoldenRun(
        golden,
        f'pixpro/{form}_r50_8xb128-800e_coco.py',
        {
            'model.backbone': dict(norm, depth=18, stem_channels=8, base_channels=8),
            'model.neck': dict(mlp, in_channels=64, hidden_channels=sizes['projector_hidden'], instance=instance),
            'model.predictor.channels': sizes['out'],
            'param_scheduler.0.warmup': schedule['warmup'],
        }
        | (
            {
                'model.instance_predictor': dict(
                    mlp, in_channels=sizes['out'], hidden_channels=sizes['predictor_hidden']
                ),
                'model.instance_weight': golden['instance weight'],
            }
            if instance
            else {}
        ),
        test_pixpro.own_name,
        batch,
    )
    run.check(run.train(tmp_path), {'loss': 'loss', '12': 'loss_12', '21': 'loss_21'})


class GivenTeacher(nn.Module):
    """Stands for the frozen network of MaskAlign: its blocks and attention in a step, by formula."""

    num_extra_tokens = 1

    def __init__(self, sizes: dict) -> None:
        super().__init__()
        self.sizes, self.step = sizes, -1

    def init_weights(self) -> None:
        """It has none."""

    def tokens(self, images: torch.Tensor) -> tuple[None, None]:
        """A pass starts: the next step."""
        self.step += 1
        return None, None

    def rotation(self, grid: None) -> None:
        """Positions are part of the formulas."""

    def blocks(self, tokens: None, rotation: None = None) -> list[torch.Tensor]:
        return [
            self._made(f'teacher state {i}', self.sizes['teacher_width'], 2)
            for i in range(1, 1 + self.sizes['teacher_depth'])
        ]

    def class_attention(self, tokens: torch.Tensor, rotation: None = None) -> torch.Tensor:
        shape = self.sizes['batch'], self.sizes['teacher_heads'], 17, 17
        return (1 + formula.tensor(f'attention step {self.step}', shape, 0.9).double())[:, :, 0, 1:]

    def _made(self, name: str, width: int, scale: float) -> torch.Tensor:
        return formula.tensor(f'{name} step {self.step}', (self.sizes['batch'], 17, width), scale).double()


def own_maskalign_name(name: str) -> str:
    if name == 'distill_weights':
        return 'neck.weights'
    if name.startswith('distill_heads'):
        _, number, part = name.split('.')
        return f'neck.heads.{int(number) - 7}.{part}'
    return own_vit_name(f'backbone.{name}')


def test_ten_steps_of_maskalign_equal_the_authors(tmp_path):
    golden = load('run_maskalign')
    sizes, schedule = golden['sizes'], golden['schedule']

    def batch(step: int) -> dict:
        return dict(inputs=[formula.image(f'view 0 step {step}', sizes['batch'], sizes['image'])], data_samples=None)

    def prepare(model) -> None:
        model.teacher.backbone = GivenTeacher(sizes)
        model.draw_visible = lambda attention: torch.tensor(golden['kept cells'][model.teacher.backbone.step])

    arch = dict(embed_dims=sizes['width'], num_layers=sizes['depth'], num_heads=2, feedforward_channels=128)
    small = dict(img_size=sizes['image'], patch_size=8)
    levels = formula.weights('student', golden['weights'])['distill_weights'][-5:]
    run = GoldenRun(
        golden,
        'maskalign/maskalign_vit-s16_8x128-800e_coco.py',
        {
            'model.backbone': dict(small, arch=dict(arch, _delete_=True), drop_path_rate=0.0),
            'model.teacher.backbone': small,
            'model.teacher.checkpoint': 'random',
            'model.neck.in_channels': sizes['width'],
            'param_scheduler.0.warmup': schedule['warmup'],
        },
        own_maskalign_name,
        batch,
        prepare,
        start={'neck.weights': levels},
    )
    run.check(run.train(tmp_path), {'loss': 'loss'})


def own_leopart_name(name: str) -> str:
    for theirs, ours in {'projection_head.': 'neck.mlp.', 'prototypes.': 'neck.prototypes.'}.items():
        if name.startswith(theirs):
            return name.replace(theirs, ours)
    return own_vit_name(f'backbone.{name}')


def test_ten_steps_of_leopart_equal_the_authors(tmp_path):
    golden = load('run_leopart')
    sizes, schedule = golden['sizes'], golden['schedule']
    geometry = geometry_of(golden['windows']).double()
    foreground = []

    def batch(step: int) -> dict:
        views = [
            formula.image(f'{kind} {v} step {step}', sizes['batch'], sizes[f'{kind}_image'])
            for kind in ('global', 'local')
            for v in range(2)
        ]
        return dict(
            inputs=views, data_samples=[SimpleNamespace(geometry=geometry[:, image]) for image in range(sizes['batch'])]
        )

    def prepare(model) -> None:
        forward = model.teacher_forward

        def watched(step: Step) -> dict:
            found = forward(step)
            foreground.append(formula.to_text(found['mask'].bool()))
            return found

        model.teacher_forward = watched

    run = GoldenRun(
        golden,
        'leopart/leopart_vit-s16_2xb32-50e_coco.py',
        {
            'model.backbone': dict(
                img_size=sizes['global_image'],
                patch_size=8,
                arch=dict(VIT['arch'], _delete_=True),
                drop_path_rate=0.0,
                weights=None,
            ),
            'model.neck': dict(
                in_channels=sizes['width'],
                prototypes=sizes['prototypes'],
                hidden_channels=sizes['head_hidden'],
                out_channels=sizes['head_out'],
            ),
            'model.local_views': 2,
            'model.queue_length': golden['queue'],
            'model.teacher.momentum': schedule['teacher_momentum'],
            'optim_wrapper.optimizer.lr': schedule['lr'],
        },
        own_leopart_name,
        batch,
        prepare,
        state=lambda model: {f'queue {view}': model.queues[view].rows for view in range(2)},
    )
    with pytest.MonkeyPatch.context() as patch:
        # The recipe stores the first rows of the foreground instead of random ones.
        patch.setattr(torch, 'rand_like', lambda x: torch.linspace(0.9, 0, len(x)))
        record = run.train(tmp_path)
    run.check(record, {'loss': 'loss'})
    assert foreground == golden['foreground by step']


def test_ten_steps_of_resim_equal_the_authors(tmp_path):
    golden = load('run_resim')
    sizes, crops = golden['sizes'], torch.tensor(golden['crops'], dtype=torch.float64)
    names = {
        'fc.': 'neck.mlp.',
        'fpn_lateral3.': 'neck.laterals.0.',
        'fpn_lateral4.': 'neck.laterals.1.',
        'fpn_lateral5.': 'neck.laterals.2.',
        'fpn_output3.': 'neck.outputs.0.',
        'fpn_output4.': 'neck.outputs.1.',
    }

    def batch(step: int) -> dict:
        geometry = geometry_of(crops[step].transpose(0, 1).tolist()).double()
        views = [formula.image(f'view {v} step {step}', golden['batch'], sizes['image']) for v in range(2)]
        samples = [SimpleNamespace(geometry=geometry[:, image]) for image in range(golden['batch'])]
        return dict(inputs=views, data_samples=samples)

    keys = F.normalize(formula.tensor('queue', (sizes['queue'], sizes['channels'])).double(), dim=1)
    run = GoldenRun(
        golden,
        'resim/resim-fpn_r50_8xb32-800e_coco.py',
        {
            'param_scheduler.0.T_max': 5,
            'param_scheduler.0.end': 5,
            'model.queue_length': sizes['queue'],
            'model.channels': sizes['channels'],
            'model.backbone': dict(depth=18, base_channels=8, stem_channels=64),
            'model.neck': dict(in_channels=[16, 32, 64], hid_channels=sizes['hidden'], out_channels=sizes['channels']),
        },
        lambda name: next(
            (ours + name.removeprefix(theirs) for theirs, ours in names.items() if name.startswith(theirs)),
            f'backbone.{name}',
        ),
        batch,
        start={'queue.keys': keys},
        state=lambda model: {'queue': model.queue.keys},
    )
    terms = {'loss': 'loss', 'moco': 'loss_global', 'c4': 'loss_region', 'c3': 'loss_fine'}
    run.check(run.train(tmp_path), terms)

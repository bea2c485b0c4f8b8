"""Post-training from a backbone without heads, through the runner, on built-in scenes."""

import pytest
import torch
from mmengine.hooks import Hook

from mmdecouple.engine import PretrainRunner
from mmdecouple.engine.hooks.teacher_hook import _warn_of_late_parts
from mmdecouple.engine.hooks.unwrapping import bare_model
from mmdecouple.engine.step_cost import step_cost
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.errors import MissingFile

from .test_rank_meter_hook import TINY
from .test_step_cost import run

SCHEDULE = dict(type='WarmupCosineLR', eta_min=1e-6, by_epoch=True, convert_to_iter_based=True)
GRAM = dict(type='GramAnchoring', weight=2.0)


class Drift(Hook):
    """Notes at the end of each epoch whether the backbones are those of the start, and how the lr and losses are."""

    def before_train(self, runner):
        self.model, self.notes = bare_model(runner), []
        self.first = {name: value.clone() for name, value in self.model.backbone.state_dict().items()}

    def after_train_epoch(self, runner):
        backbones = (self.model.backbone, self.model.teacher.backbone, self.model.terms[0].backbone)
        same = [
            all(torch.equal(value, backbone.state_dict()[name]) for name, value in self.first.items())
            for backbone in backbones
        ]
        self.notes.append((same, runner.message_hub.get_scalar('train/effective_rank').data[0].tolist()))


@pytest.fixture(scope='module')
def pretrained(tmp_path_factory):
    """A file with the weights of a small backbone alone."""
    folder = tmp_path_factory.mktemp('pretrained')
    config = load_config('mmdecouple::demo/ibot_vit-demo_scenes.py')
    config.merge_from_dict(TINY)
    config.work_dir, config.experiment_name = str(folder / 'run'), 'pretrained'
    model = PretrainRunner.from_cfg(config).train()
    torch.save(model.teacher.backbone.state_dict(), folder / 'vit.pth')
    return folder / 'vit.pth'


def posttraining(folder, weights, **options):
    """A runner of three epochs, of which the first trains the heads."""
    config = load_config('mmdecouple::demo/ibot-d_vit-demo_scenes.py')
    own = {'model.backbone.weights': str(weights), 'model.frozen_backbone_epochs': 1, 'model.terms': [GRAM]}
    config.merge_from_dict({**TINY, 'train_cfg.max_epochs': 3, **own, **options})
    config.param_scheduler = [dict(SCHEDULE, warmup=0, end=1), dict(SCHEDULE, warmup=1, begin=1)]
    if not config.train_cfg.get('by_epoch', True):
        config.param_scheduler = dict(type='WarmupCosineLR', warmup=0, end=15, eta_min=0.0, by_epoch=False)
    config.optim_wrapper.paramwise_cfg = dict(layer_decay=0.9, lr_mult=dict(neck=5))
    config.custom_hooks = [dict(type='RankMeterHook', interval=1)]
    config.work_dir, config.experiment_name = str(folder), folder.name
    config.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    return PretrainRunner.from_cfg(config)


@pytest.mark.parametrize('precision', ['bf16', pytest.param('fp32', marks=pytest.mark.slow)])
def test_heads_are_trained_first_and_features_keep_their_rank(tmp_path, pretrained, precision):
    runner, drift = posttraining(tmp_path / precision, pretrained, **{'optim_wrapper.precision': precision}), Drift()
    runner.register_hook(drift)
    runner.train()
    states, ranks = zip(*drift.notes)
    # Student, teacher and Gram teacher: all are the published backbone after the first epoch, the last one always.
    assert states[0] == [True] * 3 and states[1] == states[2] == [False, False, True]
    rank = ranks[-1]
    assert len(rank) == 15 and min(rank) > 0.7 * rank[0]
    scalars = runner.message_hub
    heads = scalars.get_scalar('train/loss_patch').data[0]
    assert heads[4] < heads[0]
    gram = scalars.get_scalar('train/loss_gram').data[0]
    # Not computed in the epoch of the head warm-up.
    assert len(gram) == 10 and all(0 < value < 2 for value in gram)
    assert len(scalars.get_scalar('train/lr').data[0]) == 15


def test_a_loop_by_iteration_goes_through_the_same_epochs(tmp_path, pretrained):
    loop = dict(_delete_=True, by_epoch=False, max_iters=15, val_interval=99)
    runner = posttraining(tmp_path / 'iterations', pretrained, train_cfg=loop)
    runner.train()
    model = bare_model(runner)
    assert len(runner.message_hub.get_scalar('train/loss_gram').data[0]) == 10
    assert model.freezing.active is False and model.terms[0].active
    start = model.terms[0].backbone.state_dict()
    assert not all(torch.equal(value, start[name]) for name, value in model.backbone.state_dict().items())


def test_what_begins_after_the_end_of_the_run_is_said(tmp_path, pretrained, monkeypatch):
    late, said = {'model.terms': [dict(GRAM, start_epoch=9)], 'model.frozen_backbone_epochs': 3}, []
    monkeypatch.setattr('mmdecouple.engine.hooks.teacher_hook.print_log', lambda line, *_: said.append(line))
    _warn_of_late_parts(posttraining(tmp_path / 'late', pretrained, **late))
    assert [line.partition(' would')[0] for line in said] == [
        f'model.{setting}: what it delays' for setting in ('frozen_backbone_epochs', 'terms.start_epoch')
    ]


def test_anchored_features_stay_closer_to_the_published_ones(tmp_path, pretrained):
    moved = {}
    for weight in (1e-6, 100.0):
        options = {'model.terms': [dict(GRAM, weight=weight)], 'optim_wrapper.precision': 'fp32'}
        runner = posttraining(tmp_path / f'weight{weight:g}', pretrained, **options)
        runner.train()
        # The last epoch, with the same views and masks in both runs.
        moved[weight] = runner.message_hub.get_scalar('train/loss_gram').data[0][-5:].mean() / weight
    assert moved[100.0] < 0.9 * moved[1e-6]


@pytest.mark.parametrize(
    'name, words',
    [
        ('dinov2_vits14_reg4', r'https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_reg4_pretrain.pth'),
        ('dinov3_vits16', r'https://ai.meta.com/dinov3 .after its licence is accepted.'),
        ('mine', 'download it and set the config key model.backbone.weights'),
    ],
)
def test_a_missing_weight_file_is_one_line_that_says_where_it_is(tmp_path, name, words):
    files = dict(dinov3_vits16='dinov3_vits16_pretrain_lvd1689m-08c60483.pth', mine='mine.pth')
    runner = posttraining(tmp_path, tmp_path / files.get(name, f'{name}_pretrain.pth'))
    with pytest.raises(MissingFile, match=words) as error:
        runner.train()
    assert '\n' not in str(error.value) and 'config key model.backbone.weights' in str(error.value)


def test_a_last_phase_starts_from_the_first_with_heads_on_larger_views_and_is_anchored_to_its_teacher(
    tmp_path, pretrained
):
    first = posttraining(tmp_path / 'first', pretrained)
    first.train()
    views = first.cfg.train_dataloader.dataset.pipeline[0].views
    large = [[dict(view[0], size=96), *view[1:]] for view in views]
    options = {'load_from': f'{tmp_path}/first/epoch_3.pth', 'model.frozen_backbone_epochs': 0}
    options |= {'train_dataloader.dataset.pipeline.0.views': large, 'model.backbone.weights': None}
    runner = posttraining(tmp_path / 'second', pretrained, **options)
    runner.load_or_resume()
    one, two = bare_model(first), bare_model(runner)
    expected = {name: value for name, value in one.state_dict().items() if not name.startswith('terms.')}
    assert all(torch.equal(two.state_dict()[name], value) for name, value in expected.items())
    gram = two.terms[0].backbone.state_dict()
    assert all(torch.equal(gram[name], value) for name, value in one.teacher.backbone.state_dict().items())
    runner.train()
    sizes = {tuple(view.shape[-2:]) for view in next(iter(runner.train_dataloader))['inputs']}
    assert sizes == {(96, 96)} and torch.isfinite(two.backbone.pos_embed).all()


def test_the_cost_of_a_step_counts_the_gram_teacher():
    config = load_config('mmdecouple::demo/ibot-d_vit-demo_scenes.py')
    config.train_dataloader.batch_size = 4
    plain = step_cost(config, 1)
    config.model.terms = [GRAM]
    anchored = step_cost(config, 1)
    flop, stored = run(config)
    assert anchored.flop * 4 == pytest.approx(flop, rel=1e-6) and anchored.flop > plain.flop
    assert anchored.memory['stored'] == pytest.approx(stored, rel=0.02)
    assert anchored.memory['teacher'] > plain.memory['teacher'] and anchored.parameters == plain.parameters

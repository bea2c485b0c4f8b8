import functools
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from mmdecouple.engine import read_checkpoint
from tests.integration.runs import differing, train, write_case

ITERATIONS = 18  # 3 epochs of 24 images at batch 4


@pytest.fixture(scope='module')
def case(tmp_path_factory):
    return write_case(tmp_path_factory.mktemp('resume'))


def backbones(checkpoint) -> dict:
    """Backbones of student, teacher and Gram teacher, by their prefix."""
    names = ('backbone.', 'teacher.backbone.', 'terms.0.backbone.')
    state = checkpoint['state_dict']
    return {
        name: {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)} for name in names
    }


def last(case, work_dir):
    checkpoint = read_checkpoint(str(case / work_dir / f'iter_{ITERATIONS}.pth'))
    assert checkpoint['meta']['iter'] == ITERATIONS
    return checkpoint


def assert_same_run(first, second):
    for part in ('state_dict', 'optimizer', 'param_schedulers'):
        assert differing(first[part], second[part], part) == []
    curves = [run['message_hub']['log_scalars']['train/loss']._log_history for run in (first, second)]
    assert np.array_equal(*curves)


@pytest.fixture(scope='module')
def whole_run(case):
    """Gives the last checkpoint of a method's uninterrupted run, which all tests share."""

    @functools.cache
    def of(method):
        work_dir = f'whole_{method}'
        done = train(case, work_dir, method=method)
        assert done.returncode == 0, done.stderr[-3000:]
        return last(case, work_dir)

    return of


@pytest.fixture(scope='module')
def uninterrupted(whole_run):
    return whole_run('densecl-d')


@pytest.mark.parametrize(
    'method, workers',
    [
        ('densecl-d', 0),
        ('densecl-d', 2),
        ('ibot-d', 2),
        ('maskalign-d', 2),
        ('soco-d', 2),
        ('leopart-d', 2),
        ('neco-d', 0),
        ('paka-d', 0),
        ('ibot_head-d', 0),
        ('pixpro-d', 2),
        ('plrc-d', 2),
        ('resim-d', 2),
        ('unirefiner-d', 2),
        *(
            pytest.param(*combination, marks=pytest.mark.slow)
            for combination in [
                ('ibot-d', 0),
                ('maskalign-d', 0),
                ('ibot', 0),
                ('ibot', 2),
                ('maskalign', 0),
                ('maskalign', 2),
                ('soco-d', 0),
                ('leopart-d', 0),
                ('soco', 0),
                ('soco', 2),
                ('leopart', 0),
                ('leopart', 2),
                ('pixpro-d', 0),
                ('pixpro', 0),
                ('pixpro', 2),
                ('plrc-d', 0),
                ('plrc', 0),
                ('plrc', 2),
                ('resim-d', 0),
                ('resim', 0),
                ('resim', 2),
                ('unirefiner-d', 0),
                ('unirefiner', 0),
                ('unirefiner', 2),
            ]
        ),
    ],
)
def test_a_killed_run_ends_with_the_bytes_of_the_uninterrupted_one(case, whole_run, method, workers):
    work_dir = f'killed_{method}_{workers}'
    # In the middle of an epoch, as is the last checkpoint before.
    at = random.Random(work_dir).choice([8, 9, 10, 16])
    options = (f'train_dataloader.num_workers={workers}',)
    killed = train(
        case, work_dir, method=method, options=options, hook=dict(type='SignalHook', iteration=at, name='SIGKILL')
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
    assert not (case / work_dir / f'iter_{ITERATIONS}.pth').exists()
    resumed = train(case, work_dir, '--resume', method=method, options=options)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert 'resumed epoch' in resumed.stdout + resumed.stderr
    assert_same_run(last(case, work_dir), whole_run(method))


def test_a_post_training_that_is_killed_in_each_phase_ends_with_the_bytes_of_the_uninterrupted_one(case, whole_run):
    """Six iterations of head warm-up, six with the first Gram teacher, six with the one that replaces it."""
    work_dir, arguments, checkpoints = 'killed_posttrain', (), []
    for iteration in (4, 9, 14):
        hook = dict(type='SignalHook', iteration=iteration, name='SIGKILL')
        killed = train(case, work_dir, *arguments, method='posttrain-d', hook=hook)
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        (saved,) = (case / work_dir).glob('iter_*.pth')
        checkpoints.append(backbones(read_checkpoint(str(saved))))
        arguments = ('--resume',)
    resumed = train(case, work_dir, '--resume', method='posttrain-d')
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert_same_run(last(case, work_dir), whole_run('posttrain-d'))
    # The last checkpoint before a kill is between the end of the second phase and the replacement.
    warm, trained, ended = checkpoints
    refreshed = backbones(last(case, work_dir))
    student, teacher, gram = 'backbone.', 'teacher.backbone.', 'terms.0.backbone.'
    assert differing(warm[student], warm[teacher]) == differing(warm[student], warm[gram]) == []
    assert differing(warm[student], trained[gram]) == [] != differing(warm[student], trained[student])
    assert differing(trained[gram], ended[gram]) == []
    assert differing(ended[teacher], refreshed[gram]) == [] != differing(refreshed[gram], refreshed[teacher])


def test_a_run_that_starts_from_a_checkpoint_is_anchored_to_its_teacher(case, whole_run):
    whole = whole_run('posttrain-d')
    options = (f'load_from={case}/whole_posttrain-d/iter_{ITERATIONS}.pth', 'optim_wrapper.optimizer.lr=0.0')
    options += ('train_cfg.max_epochs=1', 'param_scheduler=None', 'model.terms.0.refresh_epochs=9')
    done = train(case, 'next_phase', method='posttrain-d', options=options)
    assert done.returncode == 0, done.stderr[-3000:]
    (saved,) = (case / 'next_phase').glob('iter_*.pth')
    second, first = (backbones(found) for found in (read_checkpoint(str(saved)), whole))
    assert differing(second['terms.0.backbone.'], first['teacher.backbone.']) == []


@pytest.mark.parametrize('name', ['SIGTERM', 'SIGINT'])
def test_a_signal_saves_and_ends_cleanly_and_the_run_goes_on(case, uninterrupted, name):
    options = ('train_dataloader.num_workers=1', 'train_dataloader.persistent_workers=True')
    stopped = train(case, name, options=options, hook=dict(type='SignalHook', iteration=9, name=name))
    assert stopped.returncode == 0, stopped.stderr[-3000:]
    said = stopped.stdout + stopped.stderr
    assert f'Stopped by {name} after iteration 10 of {ITERATIONS}' in said and '--resume' in said
    assert read_checkpoint(str(case / name / 'interrupted.pth'))['meta']['iter'] == 10
    assert train(case, name, '--resume', options=options).returncode == 0
    assert_same_run(last(case, name), uninterrupted)


def test_unreadable_images_are_listed_once_over_all_epochs(case, uninterrupted):
    listed = (case / 'whole_densecl-d' / 'unreadable_images.txt').read_text().splitlines()
    assert [Path(line.split('\t')[0]).name for line in listed] == ['07.jpg']


@pytest.mark.parametrize('iteration', [2, 11])
def test_a_nan_stops_before_the_weights_are_touched(case, uninterrupted, iteration):
    work_dir = f'nan{iteration}'
    done = train(case, work_dir, hook=dict(type='PoisonHook', iteration=iteration))
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if 'FiniteLossHook' in line)
    assert f'iteration {iteration}, rank 0' in line and 'not finite' in line
    assert 'no weight was changed' in line
    assert '.jpg' in (case / work_dir / 'nonfinite_loss_rank0.json').read_text()
    saved = sorted(path.name for path in (case / work_dir).glob('*.pth'))
    assert saved == ([] if iteration == 2 else ['iter_8.pth'])


@pytest.mark.slow
@pytest.mark.parametrize('method', ['densecl-d', 'plrc-d', 'leopart-d', 'neco-d', 'ibot_head-d', 'unirefiner-d'])
def test_two_processes_stop_together_and_go_on_as_if_nothing_had_been(case, method):
    options, two, broken = ('train_dataloader.batch_size=2',), f'two_{method}', f'two_stopped_{method}'
    whole = train(case, two, method=method, options=options, processes=2)
    assert whole.returncode == 0, whole.stderr[-3000:]
    hook = dict(type='SignalHook', iteration=3, name='SIGTERM')
    stopped = train(case, broken, method=method, options=options, processes=2, hook=hook)
    assert stopped.returncode == 0, stopped.stderr[-3000:]
    assert (case / broken / 'interrupted.pth').exists()
    resumed = train(case, broken, '--resume', method=method, options=options, processes=2)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert_same_run(last(case, broken), last(case, two))


@pytest.mark.slow
def test_a_nan_on_one_process_stops_all(case):
    done = train(
        case,
        'two_nan',
        options=('train_dataloader.batch_size=2',),
        processes=2,
        hook=dict(type='PoisonHook', iteration=6, rank=1),
    )
    assert done.returncode != 0
    assert (case / 'two_nan' / 'nonfinite_loss_rank0.json').exists()
    assert (case / 'two_nan' / 'nonfinite_loss_rank1.json').exists()


@pytest.mark.slow
def test_a_gradient_that_is_nan_on_one_process_stops_all_with_one_line_each(case):
    done = train(
        case,
        'two_gradient',
        options=('train_dataloader.batch_size=2', 'optim_wrapper.accumulative_counts=2'),
        processes=2,
        hook=dict(type='GradientHook', iteration=17, rank=1),
    )
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if 'FiniteLossHook: gradient of ' in line]
    assert sorted(line.partition(', rank ')[2][0] for line in lines) == ['0', '1']
    assert all('iteration 17,' in line and 'no weight was changed' in line for line in lines)
    assert sorted(path.name for path in (case / 'two_gradient').glob('*.pth')) == ['iter_16.pth']

import os
import random
import signal

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement

from mmdecouple.datasets.seeding import STREAMS
from mmdecouple.engine import NonFiniteLoss
from mmdecouple.registry import HOOKS

from .toy import Toy, make_runner


@HOOKS.register_module()
class TellHook(Hook):
    """Calls a function after an iteration."""

    def __init__(self, call, priority='NORMAL'):
        self.call, self.priority = call, priority

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.call(runner, outputs)


def test_the_teacher_moves_once_for_each_optimizer_step(tmp_path):
    model = Toy()
    make_runner(tmp_path, model, [dict(type='TeacherHook')], epochs=2, accumulate=3).train()
    assert model.updates == [(2, 8), (5, 8), (7, 8)]


def test_a_nan_leaves_the_weights_of_the_step_before(tmp_path):
    model, seen = Toy(bad_at=(2,)), []
    hooks = [
        dict(type='FiniteLossHook'),
        dict(type='TellHook', call=lambda runner, _: seen.append(model.weight.clone())),
    ]
    with pytest.raises(NonFiniteLoss, match='loss_main and 1 more not finite at epoch 0, iteration 2'):
        make_runner(tmp_path, model, hooks).train()
    assert len(seen) == 2
    assert torch.equal(model.weight, seen[-1])


def test_a_nan_that_only_accumulates_stops_too(tmp_path):
    model = Toy(bad_at=(1,))
    with pytest.raises(NonFiniteLoss, match='iteration 1'):
        make_runner(tmp_path, model, [dict(type='FiniteLossHook')], accumulate=4).train()
    assert torch.equal(model.weight, torch.zeros(2))


@pytest.mark.cuda
@pytest.mark.parametrize('precision', ['fp32', 'bf16', 'fp16'])
def test_a_nan_on_the_gpu_leaves_the_weights_of_the_step_before(tmp_path, precision):
    model, seen = Toy(bad_at=(2,)), []
    hooks = [
        dict(type='FiniteLossHook'),
        dict(type='TellHook', call=lambda _, outputs: seen.append((model.weight.clone(), dict(outputs)))),
    ]
    runner = make_runner(tmp_path, model, hooks)
    runner.optim_wrapper = dict(type='PrecisionOptimWrapper', precision=precision, optimizer=dict(type='SGD', lr=0.1))
    with pytest.raises(NonFiniteLoss, match='iteration 2'):
        runner.train()
    assert model.weight.is_cuda and torch.equal(model.weight, seen[-1][0])
    assert all(type(value) is float for value in seen[-1][1].values())


def test_a_log_value_that_is_no_loss_may_be_nan(tmp_path):
    logged = []
    hooks = [
        dict(type='FiniteLossHook'),
        dict(type='TellHook', call=lambda runner, outputs: logged.append(dict(outputs))),
    ]
    make_runner(tmp_path, Toy(), hooks).train()
    assert [type(value) for value in logged[0].values()] == [float, float, float]
    assert logged[0]['loss'] == logged[0]['loss_main'] == 0.5


def test_each_iteration_draws_from_seed_rank_and_iteration_alone(tmp_path):
    first, second = Toy(), Toy()
    make_runner(tmp_path / 'a', first, [dict(type='SeedHook')]).train()
    disturb = dict(type='TellHook', call=lambda *_: torch.rand(7))
    make_runner(tmp_path / 'b', second, [dict(type='SeedHook'), disturb]).train()
    assert first.draws == second.draws and len(set(first.draws)) == 4
    assert first.data_preprocessor.steps == [(11, 0, iteration) for iteration in range(4)]


def test_a_gpu_is_seeded_from_seed_rank_and_iteration_too(tmp_path, monkeypatch):
    """Without a GPU: what its generator would be given."""
    seeds = []
    monkeypatch.setattr(torch.cuda, 'is_initialized', lambda: True)
    monkeypatch.setattr(torch.cuda, 'manual_seed', seeds.append)
    make_runner(tmp_path, Toy(), [dict(type='SeedHook')]).train()
    stream = STREAMS.index('iteration')
    expected = [
        int(np.random.SeedSequence((11, 0, iteration), spawn_key=(stream,)).generate_state(1)[0])
        for iteration in range(4)
    ]
    assert seeds[-4:] == expected and len(set(expected)) == 4


def test_a_run_without_a_seed_keeps_the_one_it_chose(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=1)
    first = make_runner(tmp_path, Toy(), [], seed=None, checkpoint=checkpoint)
    first.train()
    resumed = make_runner(tmp_path, Toy(), [], seed=None, checkpoint=checkpoint, resume=True)
    assert resumed.seed == first.seed


def test_a_second_interrupt_stops_at_once(tmp_path):
    def interrupt_twice(runner, _):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            make_runner(
                tmp_path, Toy(), [dict(type='GracefulStopHook'), dict(type='TellHook', call=interrupt_twice)]
            ).train()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_stop_waits_for_the_gradients_that_accumulate(tmp_path):
    def stop(runner, _):
        if runner.iter == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    model = Toy()
    hooks = [dict(type='GracefulStopHook'), dict(type='TellHook', call=stop)]
    runner = make_runner(tmp_path, model, hooks, epochs=3, accumulate=3)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        runner.train()
    assert caught.value.code == 0 and model.calls == 6
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_newest_checkpoint_is_on_disk_before_the_old_one_goes(tmp_path):
    present = []

    class Watching(Toy):
        def state_dict(self, *args, **kwargs):
            present.append(sorted(path.name for path in tmp_path.glob('*.pth')))
            return super().state_dict(*args, **kwargs)

    checkpoint = dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=1)
    make_runner(tmp_path, Watching(), [], epochs=3, checkpoint=checkpoint).train()
    assert list(dict.fromkeys(map(tuple, present)))[-3:] == [(), ('epoch_1.pth',), ('epoch_2.pth',)]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('epoch_3.pth')


class Headed(Toy):
    """A toy whose second layer stands still for two epochs."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Module()
        self.head.last_layer = torch.nn.Linear(2, 3)

    def frozen(self, epoch):
        return self.head.last_layer.parameters() if epoch < 2 else ()

    def forward(self, inputs, mode='loss'):
        return super().forward(inputs, mode) | dict(loss_head=self.head.last_layer(inputs.float()).square().mean())


def run_frozen(work_dir, wrapper='PrecisionOptimWrapper', **options):
    """The model after training with AdamW, and whether the last layer moved at each iteration."""
    model, moved = Headed(), []
    layer = model.head.last_layer
    last = [layer.weight.detach().clone(), layer.bias.detach().clone()]

    def compare(*_):
        now = [p.detach().clone() for p in layer.parameters()]
        moved.append([not torch.equal(*pair) for pair in zip(now, last)])
        last[:] = now

    hooks = [dict(type='TeacherHook'), dict(type='TellHook', call=compare)]
    runner = make_runner(work_dir, model, hooks, **options)
    runner.optim_wrapper = dict(
        type=wrapper,
        optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5),
        **(dict(precision='fp32') if wrapper == 'PrecisionOptimWrapper' else {}),
    )
    runner.train()
    return model, moved


def test_a_frozen_layer_stands_still_for_the_first_epochs_alone(tmp_path):
    model, moved = run_frozen(tmp_path, epochs=3)
    assert moved == [[False, False]] * 8 + [[True, True]] * 4
    assert not torch.equal(model.weight, torch.zeros(2))


def test_a_frozen_layer_counts_epochs_from_the_start_of_a_resumed_run(tmp_path):
    checkpoint = dict(type='DurableCheckpointHook', interval=1)
    run_frozen(tmp_path, epochs=1, checkpoint=checkpoint)
    _, moved = run_frozen(tmp_path, epochs=3, checkpoint=checkpoint, resume=True)
    # The first comparison is with the new model's own start, before the checkpoint was loaded.
    assert moved[1:] == [[False, False]] * 3 + [[True, True]] * 4


def test_a_method_that_freezes_needs_the_wrapper_that_can_drop_gradients(tmp_path):
    with pytest.raises(
        ValueError, match='Headed freezes parameters, which only PrecisionOptimWrapper supports, got OptimWrapper'
    ):
        run_frozen(tmp_path, wrapper='OptimWrapper')


class BadImages(list):
    """Samples of which some say that a file was replaced."""

    max_bad_share = 0.25

    def __init__(self, bad):
        super().__init__(
            dict(
                inputs=torch.ones(2),
                data_samples=BaseDataElement(
                    metainfo=dict(unreadable=[(f'{index}.jpg', 'cut')] if index in bad else [])
                ),
            )
            for index in range(8)
        )


class Sampled(Toy):
    def forward(self, inputs, data_samples, mode='loss'):
        return super().forward(inputs, mode)


def run_with(bad, work_dir, epochs=2):
    from mmengine.dataset import default_collate

    runner = make_runner(work_dir, Sampled(), [dict(type='QuarantineHook')], epochs=epochs)
    runner._train_dataloader = torch.utils.data.DataLoader(BadImages(bad), batch_size=2, collate_fn=default_collate)
    runner.train()


def test_unreadable_images_are_written_once_over_epochs_and_resumes(tmp_path):
    run_with({1, 5}, tmp_path)
    run_with({1, 5}, tmp_path)
    listed = (tmp_path / 'unreadable_images.txt').read_text()
    assert listed == '1.jpg\tcut\n5.jpg\tcut\n'


@pytest.mark.parametrize('torn', ['1.jp', '1.jpg\tcut', '5.jpg\tcut\n1.jp', '5.jpg\tcut\n1.jpg\tc'])
def test_a_line_that_a_killed_run_wrote_in_part_is_written_again(torn, tmp_path):
    (tmp_path / 'unreadable_images.txt').write_text(torn)
    run_with({1, 5}, tmp_path)
    listed = (tmp_path / 'unreadable_images.txt').read_text()
    assert sorted(listed.splitlines(keepends=True)) == ['1.jpg\tcut\n', '5.jpg\tcut\n']


def test_too_many_unreadable_images_stop_the_run(tmp_path):
    with pytest.raises(ValueError, match='3 of the 8 images cannot be read.*max_bad_share=0.25'):
        run_with({1, 5, 6}, tmp_path)


@pytest.fixture(autouse=True)
def keep_generators():
    states = random.getstate(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    torch.set_rng_state(states[1])


def test_a_checkpoint_that_a_kill_spared_goes_at_the_next_resume(tmp_path):
    rule = dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=2)
    make_runner(tmp_path, Toy(), [], epochs=4, checkpoint=dict(rule)).train()
    newest = (tmp_path / 'epoch_4.pth').read_bytes()
    spared = ['epoch_1.pth', 'epoch_2.pth']
    kept = ['epoch_9.pth', 'epoch_best.pth', 'epoch_02.pth']
    for name in spared + kept[1:]:
        (tmp_path / name).write_bytes(newest)
    (tmp_path / kept[0]).write_bytes(b'no checkpoint')
    make_runner(tmp_path, Toy(), [], epochs=4, checkpoint=dict(rule), resume=True).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == sorted(['epoch_3.pth', 'epoch_4.pth', *kept])


def test_checkpoints_that_were_kept_on_purpose_survive_a_resume_that_keeps_fewer(tmp_path):
    rule = dict(type='DurableCheckpointHook', interval=1)
    make_runner(tmp_path, Toy(), [], epochs=3, checkpoint=dict(rule)).train()
    make_runner(tmp_path, Toy(), [], epochs=5, checkpoint=dict(rule, max_keep_ckpts=1), resume=True).train()
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == [f'epoch_{n}.pth' for n in (1, 2, 3, 5)]


def test_a_checkpoint_of_a_stranger_cannot_name_files_to_delete(tmp_path):
    rule = dict(type='DurableCheckpointHook', interval=1, max_keep_ckpts=1)
    runner = make_runner(tmp_path / 'run', Toy(), [], epochs=2, checkpoint=dict(rule))
    runner.train()
    victim = tmp_path / 'victim.pth'
    victim.write_bytes(b'mine')
    stored = torch.load(tmp_path / 'run' / 'epoch_2.pth', weights_only=False)
    stored['message_hub']['runtime_info']['outdated_ckpts']['steps'] = ['../victim', '/../../victim', None, 7]
    torch.save(stored, tmp_path / 'run' / 'epoch_2.pth')
    make_runner(tmp_path / 'run', Toy(), [], epochs=3, checkpoint=dict(rule), resume=True).train()
    assert victim.exists() and (tmp_path / 'run' / 'epoch_3.pth').exists()

"""A model of two numbers whose loss can be told to go wrong."""

import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdecouple.engine import PretrainRunner


class Recorder(BaseDataPreprocessor):
    """Notes the steps it is told about."""

    def __init__(self):
        super().__init__()
        self.steps = []

    def set_step(self, seed, rank, iteration):
        self.steps.append((seed, rank, iteration))


class Toy(BaseModel):
    """Loss (weight - input)^2 with a teacher that counts its updates."""

    def __init__(self, bad_at=()):
        super().__init__(Recorder())
        self.weight = torch.nn.Parameter(torch.zeros(2))
        self.bad_at, self.calls = bad_at, 0
        self.updates, self.draws = [], []

    def forward(self, inputs, mode='loss'):
        loss = ((self.weight - inputs.float()) ** 2).mean()
        if self.calls in self.bad_at:
            loss = loss * float('nan')
        self.calls += 1
        self.draws.append(float(torch.rand(())))
        return dict(loss_main=loss, share=torch.tensor(float('nan')))

    def update_teacher(self, iteration, max_iters):
        self.updates.append((iteration, max_iters))


def make_runner(
    work_dir, model, hooks, epochs=1, accumulate=1, checkpoint=None, loader=None, seed=11, train=None, **options
) -> Runner:
    return PretrainRunner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=loader or DataLoader([dict(inputs=torch.ones(2) * index) for index in range(8)], batch_size=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=accumulate),
        train_cfg=dict(max_epochs=epochs, **(train or {})),
        default_hooks=dict(
            checkpoint=checkpoint or dict(type='DurableCheckpointHook', interval=100, save_last=False),
            sampler_seed=None,
        ),
        custom_hooks=hooks,
        default_scope='mmdecouple',
        randomness=dict(seed=seed),
        experiment_name=str(work_dir).replace('/', '_'),
        **options,
    )

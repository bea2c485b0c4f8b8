"""The cost computed from shapes against steps that are run with real tensors, and against the formulas of iBOT."""

import pytest
import torch
from mmengine.registry import DefaultScope
from torch.utils.flop_counter import FlopCounterMode

from mmdecouple.engine.scaling import IBOTSizes, largest_share
from mmdecouple.engine.step_cost import _batch, attention_counters, step_cost
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

IMAGES = 4


def demo(name):
    config = load_config(f'mmdecouple::demo/{name}_scenes.py')
    config.train_dataloader.batch_size = IMAGES
    return config


def run(config):
    """Operations and stored bytes of a step with real tensors and the same draws."""
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        model = MODELS.build(config.model).train()
    model.data_preprocessor.set_step(0, 0, 0)
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with FlopCounterMode(display=False, custom_mapping=attention_counters()) as counter:
        with (
            torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
            torch.autocast('cpu', torch.bfloat16),
        ):
            losses = model(**model.data_preprocessor(_batch(config, IMAGES), training=True), mode='loss')
        stored = sum(storage.nbytes() for storage in kept.values())
        sum(value for name, value in losses.items() if name.startswith('loss')).backward()
    return counter.get_total_flops(), stored


@pytest.mark.parametrize(
    'name',
    [
        'ibot-d_vit-demo',
        'densecl-d_resnet-demo',
        'soco-d_resnet-demo',
        'plrc-d_resnet-demo',
        'neco-d_vit-demo',
        'paka-d_vit-demo',
    ],
)
def test_operations_and_stored_bytes_are_those_of_a_step_that_is_run(name):
    config = demo(name)
    cost = step_cost(config, 1)
    flop, stored = run(config)
    assert cost.flop * IMAGES == pytest.approx(flop, rel=1e-6)
    assert cost.memory['stored'] == pytest.approx(stored, rel=0.02)


def test_memory_depends_on_optimizer_processes_and_sharing():
    config = demo('ibot-d_vit-demo')
    one, two = step_cost(config, 1), step_cost(config, 2)
    assert one.parameters == IBOTSizes.of(config.model).parameters
    assert one.memory['weights'] == one.memory['gradients'] == one.memory['optimizer'] / 2 == 4 * one.parameters
    assert two.memory['gradients'] == 2 * one.memory['gradients']
    config.optim_wrapper.sharded = True
    config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', gradient_as_bucket_view=True)
    shared = step_cost(config, 2).memory
    assert shared['gradients'] == one.memory['gradients']
    assert shared['optimizer'] == pytest.approx(8 * largest_share(IBOTSizes.of(config.model).tensors(), 2), rel=0.01)


def test_recomputed_blocks_store_less_and_add_one_block():
    config = demo('ibot-d_vit-demo')
    stored = step_cost(config, 1).memory
    config.model.backbone.with_cp = True
    recomputed = step_cost(config, 1).memory
    assert 'recomputation' not in stored
    assert recomputed['stored'] + recomputed['recomputation'] < stored['stored']

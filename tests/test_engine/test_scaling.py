"""The formulas of `docs/scaling.md` against built models, counted bytes of saved tensors, and counted collectives."""

import gc
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch.profiler import ProfilerActivity, profile

from mmdecouple.engine.scaling import IBOTSizes, activations_of, communication_of, largest_share, memory_of, sent
from mmdecouple.engine.sharding import ShardedOptimizer
from mmdecouple.models.layers import NegativeQueue
from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config
from tests.test_engine.test_sharding import in_processes

ROOT = Path(__file__).parents[2]
CONFIGS = {
    's': 'mmdecouple::ibot/ibot-d_vit-s16_8x64-800e_coco.py',
    'l': 'mmdecouple::ibot/ibot-d_vit-l16_8x64-800e_coco.py',
    'g': 'mmdecouple::ibot/ibot-d_vit-g14_16x32-800e_coco.py',
}
_BYTES = {'float': 4, 'double': 8, 'c10::BFloat16': 2, 'long int': 8, 'int': 4, 'unsigned char': 1}


def tiny(**backbone):
    """An iBOT-D of 64 pixels with a small network, as configs are."""
    config = load_config(CONFIGS['s'])
    arch = dict(_delete_=True, embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=128)
    config.merge_from_dict(
        dict(
            model=dict(
                backbone=dict(arch=arch, img_size=64, patch_size=8, drop_path_rate=0.0, **backbone),
                neck=dict(in_channels=32, out_channels=48, hidden_channels=64, bottleneck_channels=16),
            )
        )
    )
    return config


def built(config):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        model = MODELS.build(config.model)
    model.init_weights()
    model.prepare_training()
    model.data_preprocessor.set_step(0, 0, 0)
    return model.train()


def batch(images, size=64):
    generator = torch.Generator().manual_seed(images)
    return dict(
        inputs=[
            torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8, generator=generator) for _ in range(2)
        ]
    )


@pytest.mark.parametrize('name', CONFIGS)
def test_the_sizes_of_all_tensors_are_those_of_the_shipped_configs(name):
    config = load_config(CONFIGS[name])
    with torch.device('meta'):
        model = MODELS.build(config.model)
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        groups = build_optim_wrapper(model, dict(config.optim_wrapper, sharded=False)).optimizer.param_groups
    sizes = IBOTSizes.of(config.model)
    for group, expected in zip(groups, sizes.tensors(), strict=True):
        assert sorted(p.numel() for p in group['params']) == sorted(expected)
    assert sizes.parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)
    # The embeddings and the biases are small: 12 L C^2 for an MLP of 4 C.
    blocks = sizes.depth * sizes.width * (4 * sizes.width + 2 * sizes.hidden)
    assert sizes.parameters == pytest.approx(blocks, rel=0.5 if name == 's' else 0.05)


DINOV2 = dict(register_tokens=4, layer_scale_init_value=1e-5)
DINOV3 = dict(DINOV2, position='rope', key_bias=False, layer_cfgs=dict(ffn_type='swiglu_fused'))


@pytest.mark.parametrize('modern', [DINOV2, DINOV3, dict(DINOV3, qkv_bias=False)])
def test_the_sizes_of_all_tensors_of_a_modern_vit_are_those_of_the_network(modern):
    config = tiny(**modern)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    with DefaultScope.overwrite_default_scope('mmdecouple'):
        groups = build_optim_wrapper(model, dict(config.optim_wrapper, sharded=False)).optimizer.param_groups
    for group, expected in zip(groups, IBOTSizes.of(config.model).tensors(), strict=True):
        assert sorted(p.numel() for p in group['params']) == sorted(expected)


@pytest.mark.parametrize('processes', [8, 64])
def test_the_largest_share_is_the_one_that_torch_assigns(processes):
    from torch.testing._internal.distributed.fake_pg import FakeStore

    sizes = IBOTSizes.of(load_config(CONFIGS['l']).model)
    groups = [
        dict(params=[torch.nn.Parameter(torch.empty(size, device='meta')) for size in group])
        for group in sizes.tensors()
    ]
    torch.distributed.init_process_group('fake', store=FakeStore(), rank=0, world_size=processes)
    try:
        divided = ShardedOptimizer(torch.optim.AdamW(groups))
        shares = [sum(p.numel() for g in rank for p in g['params']) for rank in divided._partition_parameters()]
    finally:
        torch.distributed.destroy_process_group()
    assert largest_share(sizes.tensors(), processes) == max(shares)
    assert sum(shares) == sizes.parameters


def stored(config, images):
    """Bytes of all tensors that the loss of a step stores for its backward pass, without the weights, and its rows."""
    model = built(config)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), torch.autocast('cpu', torch.bfloat16):
        step = model.begin(**model.data_preprocessor(batch(images), training=True))
        losses = model.loss(step)
    total = sum(storage.nbytes() for storage in kept.values())
    del losses
    gc.collect()
    rows = len(step.extras.masked.positions) + len(step.decoupled.foreground.positions)
    return total, rows, len(step.decoupled.rows) / images


@pytest.mark.parametrize(
    ('recomputed', 'modern'), [(False, {}), (True, {}), (False, DINOV2), (False, DINOV3), (True, DINOV3)]
)
def test_the_stored_activations_of_a_step_are_those_of_the_formula(recomputed, modern):
    config, images = tiny(with_cp=recomputed, **modern), 16
    total, rows, decoupled = stored(config, images)
    found = activations_of(
        IBOTSizes.of(config.model), images, rows / images, decoupled=decoupled, recomputed=recomputed
    )
    assert total == pytest.approx(sum(found.values()) - found['recomputation'], rel=0.02)


def collectives(call):
    """Bytes of the tensors of each kind of collective that a function runs over gloo, by kind."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        call()
    found = Counter()
    for event in profiler.profiler.kineto_results.events():
        if event.name().startswith('gloo:'):
            for shape, kind in zip(event.shapes(), event.dtypes()):
                found[event.name().removeprefix('gloo:')] += torch.Size(shape).numel() * _BYTES[kind]
    return dict(found)


def test_the_collectives_and_the_state_of_a_step_are_those_of_the_formula(tmp_path):
    config = tiny()
    config.optim_wrapper.update(sharded=True, precision='fp32')

    def run(rank):
        model = MMDistributedDataParallel(built(config), broadcast_buffers=False, gradient_as_bucket_view=True)
        with DefaultScope.overwrite_default_scope('mmdecouple'):
            wrapper = build_optim_wrapper(model, config.optim_wrapper)

        def step():
            model.train_step(batch(8), wrapper)

        gradients = []
        wrapper.optimizer.register_step_pre_hook(
            lambda optimizer, *_: gradients.append(
                sum(p.grad.nbytes for g in optimizer.param_groups for p in g['params'])
            )
        )
        # DDP arranges its buckets anew after the first step.
        step()
        step()
        counted = collectives(step)
        state = sum(t.nbytes for state in wrapper.optimizer.own_state().values() for t in state.values() if t.ndim)
        trained = [p for p in model.parameters() if p.requires_grad]
        held = dict(
            weights=sum(p.nbytes for p in trained),
            gradients=gradients[-1],
            teacher=sum(p.nbytes for p in model.module.teacher.parameters()),
            optimizer=state,
        )
        return counted, held

    (counted, first), (_, second) = in_processes(tmp_path, 2, run)
    sizes = IBOTSizes.of(config.model)
    expected = communication_of(sizes)
    # The flag of a finite loss belongs to the hook of the runner.
    assert counted == dict(all_reduce=expected['gradients'] + expected['centers'], broadcast=expected['weights'])
    memory = memory_of(sizes, 8, 2, 10)
    assert first['optimizer'] + second['optimizer'] == 8 * sizes.parameters
    assert max(first['optimizer'], second['optimizer']) == memory['optimizer']
    for name in ('weights', 'gradients', 'teacher'):
        assert first[name] == second[name] == memory[name]


def test_a_queue_gathers_the_keys_of_all_processes(tmp_path):
    def run(rank):
        queue = NegativeQueue(64, 16)
        return collectives(lambda: queue.enqueue(torch.randn(4, 16)))

    found = in_processes(tmp_path, 2, run)
    assert found == [dict(all_gather=4 * 16 * 4)] * 2


def test_the_tables_of_the_page_are_those_that_its_block_prints(capsys):
    page = (ROOT / 'docs' / 'scaling.md').read_text()
    (block,) = re.findall(r'```python\n(.*?)```', page, re.DOTALL)
    exec(compile(block, 'scaling.py', 'exec'), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 28 and set(printed) <= set(page.splitlines())


def test_a_ring_sends_each_byte_twice():
    assert sent(1000, 2, 'all_reduce') == 1000 and sent(1000, 512, 'all_reduce') == pytest.approx(2000, rel=0.01)
    assert sent(1000, 2, 'broadcast') == 500 and sent(1000, 8, 'all_gather') == 7000

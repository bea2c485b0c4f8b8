"""Time and peak memory of a training step, as ratios: -D against its base, and ours against mmpretrain's DenseCL.

Each variant runs in its own process, in turn, several rounds; a ratio is the median over rounds of the ratio within
one round, so a machine whose speed drifts does not bend it.

    python tools/benchmark/step.py --batch 32 --size 224 --steps 3 --rounds 3 --json OUT
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

PAIRS = [('densecl-d', 'densecl'), ('densecl', 'mmpretrain')]


def model_of(variant: str, args: argparse.Namespace) -> torch.nn.Module:
    """Build one variant, initialized and in train mode."""
    channels = 512 if args.depth < 50 else 2048
    backbone = dict(type='mmpretrain.ResNet', depth=args.depth, norm_cfg=dict(type='BN'), zero_init_residual=False)
    neck = dict(in_channels=channels, hid_channels=channels, out_channels=128)
    if variant == 'mmpretrain':
        from mmpretrain.registry import MODELS
        from mmpretrain.utils import register_all_modules
        register_all_modules()
        cfg = dict(type='DenseCL', backbone={**backbone, 'type': 'ResNet'}, queue_len=args.queue, feat_dim=128,
                   neck=dict(type='DenseCLNeck', **neck), data_preprocessor=dict(
                       type='SelfSupDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
                   head=dict(type='ContrastiveHead', temperature=0.2, loss=dict(type='CrossEntropyLoss')))
    else:
        from mmdecouple.registry import MODELS
        cfg = dict(type='DenseCL', backbone=backbone, neck=dict(type='mmpretrain.DenseCLNeck', **neck),
                   queue_length=args.queue, data_preprocessor=dict(channels_last=args.channels_last))
        if variant == 'densecl-d':
            cfg['decoupling'] = dict(
                type='DecouplingBranch', mask=dict(type='RegionCollaborativeCutout', preset='paper'))
    model = MODELS.build(cfg)
    model.init_weights()
    return model.to(args.device).train()


def measure(variant: str, args: argparse.Namespace) -> dict:
    """Seconds a step (after two of warm-up) and peak memory in MiB of this process."""
    torch.manual_seed(0)
    model = model_of(variant, args)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.03, 0.9)
    views = [torch.randint(0, 256, (args.batch, 3, args.size, args.size), dtype=torch.uint8) for _ in range(2)]
    cuda = args.device == 'cuda'
    times = []
    for step in range(args.steps + 2):
        begin = time.perf_counter()
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == 'bf16'):
            losses = model(**model.data_preprocessor(dict(inputs=views, data_samples=None), True), mode='loss')
        total = sum(value for name, value in losses.items() if name.startswith('loss'))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        if variant != 'mmpretrain':
            model.update_teacher(step, 100)
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    peak = torch.cuda.max_memory_allocated() / 2**20 if cuda else \
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return dict(seconds=statistics.median(times[2:]), peak_mib=peak)


def flop_share(args: argparse.Namespace) -> float:
    """FLOP of a DenseCL-D step over a DenseCL step: the student trains at 3 forward units a crop, the teacher at 1."""
    extra = max(round(0.25 * args.batch), 1) / args.batch
    return (3 * (1 + extra) + 1) / (3 + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--batch', type=int, default=32)
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--depth', type=int, default=50)
    parser.add_argument('--queue', type=int, default=65536)
    parser.add_argument('--steps', type=int, default=3)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--precision', choices=['bf16', 'fp32'], default='fp32')
    parser.add_argument('--channels-last', action='store_true', help='for our variants')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--json', help='write the figures to this file')
    parser.add_argument('--variant', help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.variant:
        print(json.dumps(measure(args.variant, args)))
        return
    variants = ['mmpretrain', 'densecl', 'densecl-d']
    rows: dict[str, list[dict]] = {variant: [] for variant in variants}
    for _ in track(range(args.rounds), 'rounds', console=Console(stderr=True)):
        for variant in variants:
            command = [sys.executable, __file__, *sys.argv[1:], '--variant', variant]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f'step benchmark: {variant} failed: {done.stderr.strip().splitlines()[-1]}')
            rows[variant].append(json.loads(done.stdout.strip().splitlines()[-1]))
    report = dict(settings={k: v for k, v in vars(args).items() if k not in ('json', 'variant')}, rows=rows,
                  flop_share=flop_share(args), ratios={})
    table = Table('ratio', 'time', 'peak memory', 'FLOP share')
    for ours, other in PAIRS:
        ratio = {key: statistics.median(a[key] / b[key] for a, b in zip(rows[ours], rows[other]))
                 for key in ('seconds', 'peak_mib')}
        report['ratios'][f'{ours} / {other}'] = ratio
        share = f'{report["flop_share"]:.3f}' if ours == 'densecl-d' else ''
        table.add_row(f'{ours} / {other}', f'{ratio["seconds"]:.3f}', f'{ratio["peak_mib"]:.3f}', share)
    Console().print(table)
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(report, file, indent=1)


if __name__ == '__main__':
    main()

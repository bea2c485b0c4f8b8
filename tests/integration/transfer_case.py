"""A tiny pre-training run, exported scenes, and the overrides that bring a downstream task to toy width."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.runs import ROOT, train, write_case

LOADERS = [f'{split}_dataloader.num_workers=0' for split in ('train', 'test')] + ['train_dataloader.batch_size=2']
SHORT = ['train_cfg.max_iters=12', 'default_hooks.checkpoint.interval=4', 'default_hooks.logger.interval=1']
HEADS = 'model.roi_head'
DETECTOR = [
    'model.backbone.depth=18',
    'model.backbone.base_channels=8',
    'model.backbone.stem_channels=8',
    'model.neck.in_channels=[8,16,32,64]',
    'model.neck.out_channels=16',
    'model.rpn_head.in_channels=16',
    'model.rpn_head.feat_channels=16',
    f'{HEADS}.bbox_roi_extractor.out_channels=16',
    f'{HEADS}.mask_roi_extractor.out_channels=16',
    f'{HEADS}.bbox_head.in_channels=16',
    f'{HEADS}.bbox_head.conv_out_channels=16',
    f'{HEADS}.bbox_head.fc_out_channels=32',
    f'{HEADS}.mask_head.in_channels=16',
    f'{HEADS}.mask_head.conv_out_channels=16',
    'model.train_cfg.rpn_proposal.max_per_img=50',
    'model.train_cfg.rcnn.sampler.num=32',
    'model.test_cfg.rcnn.score_thr=0.',
    'train_dataloader.dataset.pipeline.2.scale=(128,128)',
    'test_dataloader.dataset.pipeline.1.scale=(128,128)',
]
ARCH = 'model.backbone.arch'
SEGMENTOR = [
    f'{ARCH}._delete_=True',
    f'{ARCH}.embed_dims=16',
    f'{ARCH}.num_layers=4',
    f'{ARCH}.num_heads=2',
    f'{ARCH}.feedforward_channels=32',
    'model.backbone.img_size=64',
    'model.backbone.patch_size=8',
    'model.backbone.out_indices=[0,1,2,3]',
    'model.neck.in_channels=16',
    'model.neck.patch_size=8',
    'model.decode_head.in_channels=[16,16,16,16]',
    'model.decode_head.channels=16',
    'model.auxiliary_head.in_channels=16',
    'model.auxiliary_head.channels=16',
    'model.data_preprocessor.size=(64,64)',
    'model.test_cfg.crop_size=(64,64)',
    'model.test_cfg.stride=(42,42)',
    'train_dataloader.dataset.pipeline.2.scale=(256,64)',
    'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
]
TASKS = {
    'coco-mask-rcnn-fpn': ('densecl-d', [*DETECTOR, *LOADERS, *SHORT]),
    'ade-upernet': ('ibot', [*SEGMENTOR, *LOADERS, *SHORT]),
}


def write_transfer_case(folder: Path) -> Path:
    """A folder with scenes in COCO's layout and a pre-trained checkpoint for each method of `TASKS`."""
    write_case(folder)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / 'tools/dataset_tools/export_scenes.py'),
            '--out',
            str(folder / 'scenes'),
            '--train',
            '8',
            '--val',
            '4',
            '--size',
            '64',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    for method in ('densecl-d', 'ibot'):
        options = ('model.backbone.arch.num_layers=4',) if method == 'ibot' else ()
        done = train(folder, method, method=method, options=('train_cfg.max_epochs=2', *options))
        assert done.returncode == 0, done.stderr[-2000:]
    return folder


def environment() -> dict[str, str]:
    """For child processes."""
    return dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT), COLUMNS='200')


def checkpoint(case: Path, method: str) -> Path:
    """The last checkpoint of a pre-training run."""
    return max((case / method).glob('*.pth'), key=lambda path: path.stat().st_mtime)


def command(
    case: Path, task: str, *more: str, smoke: str = 'scenes', data: Path | None = None, options: tuple[str, ...] = ()
) -> list[str]:
    """`tools/transfer.py` for a task at toy width, on the scenes of the case or on other data."""
    method, toy = TASKS[task]
    return [
        sys.executable,
        str(ROOT / 'tools/transfer.py'),
        str(checkpoint(case, method)),
        '--task',
        task,
        '--smoke',
        smoke,
        '--data',
        f'{"scenes" if data is None else "coco128"}:{data or case / "scenes"}',
        '--out',
        str(case / 'out'),
        '--device',
        'cpu',
        *more,
        '--cfg-options',
        *toy,
        *options,
    ]

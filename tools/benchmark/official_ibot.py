"""Runs the official iBOT step from a checkout of `bytedance/ibot` outside this repository.

It calls the official `train_one_epoch` with a prepared batch and our masks. Modules that the old checkout
lacks are stubbed as for the golden numbers of the tests, so this requires a clone of the repository.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.test_models.golden import recipe
from tests.test_models.golden.make_ibot import Wrapped

ARCHS = {'deit-tiny': 'vit_tiny', 'deit-small': 'vit_small', 'base': 'vit_base', 'large': 'vit_large'}


class OfficialIBOT:
    """Steps of the official code.

    Args:
        args: Options of the benchmark.
        views: Two normalized views `(B, 3, H, W)`.
        masks: Masks of both views `(2 * B, h, w)` for each step.
        clock: Function that returns the time in seconds.
    """

    def __init__(
        self, args: argparse.Namespace, views: list[Tensor], masks: list[Tensor], clock: Callable[[], float]
    ) -> None:
        recipe.stub_for_ibot()
        recipe.one_process(args.device)
        self.main = recipe.official(args.official, 'main_ibot')
        self.main.utils.SmoothedValue.synchronize_between_processes = lambda meter: None
        torch.cuda.amp.autocast = lambda enabled: torch.autocast(
            args.device, torch.bfloat16, enabled=args.precision == 'bf16'
        )
        arch = getattr(self.main.models, ARCHS[args.arch])
        sizes = dict(patch_size=args.patch, img_size=[args.size], return_all_tokens=True)
        networks = []
        for trained in (dict(drop_path_rate=0.1, masked_im_modeling=True), {}):
            vit = arch(**sizes, **trained)
            head = self.main.iBOTHead(
                vit.embed_dim, args.prototypes, patch_out_dim=args.prototypes, norm_last_layer=False, shared_head=True
            )
            networks.append(self.main.utils.MultiCropWrapper(vit, head).to(args.device))
        self.student, self.teacher = Wrapped(networks[0]), networks[1].requires_grad_(False)
        self.teacher.load_state_dict(self.student.module.state_dict(), strict=False)
        self.optimizer = torch.optim.AdamW(self.main.utils.get_params_groups(self.student))
        self.loss = self.main.iBOTLoss(args.prototypes, args.prototypes, 2, 0, 0.04, 0.07, 0.04, 0.07, 30, 100)
        self.loss.to(args.device)
        self.views = [view.pin_memory() for view in views] if args.device == 'cuda' else views
        self.masks, self.clock = masks, clock

    def run(self, first: int, count: int) -> list[float]:
        """Runs `count` steps with the masks of the steps from `first` on, and returns the seconds of each."""
        loader = _TimedLoader(
            [
                (list(self.views), torch.zeros(len(self.views[0])), list(mask.chunk(2)))
                for mask in self.masks[first : first + count]
            ],
            self.clock,
        )
        settings = SimpleNamespace(
            epochs=100, global_crops_number=2, use_masked_im_modeling=True, clip_grad=3.0, freeze_last_layer=0
        )
        with contextlib.redirect_stdout(sys.stderr):
            self.main.train_one_epoch(
                self.student,
                self.teacher,
                self.teacher,
                self.loss,
                loader,
                self.optimizer,
                [1e-6] * count,
                [0.04] * count,
                [0.996] * count,
                0,
                None,
                settings,
            )
        return loader.seconds


class _TimedLoader:
    """Loader that measures the time that its consumer spends on each batch."""

    def __init__(self, batches: list, clock: Callable[[], float]) -> None:
        self.batches, self.clock, self.seconds = batches, clock, []

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple]:
        for batch in self.batches:
            begin = self.clock()
            yield batch
            self.seconds.append(self.clock() - begin)

"""Data preprocessor: changes colors and normalizes collated uint8 views on the device, and applies batch stages."""

from collections.abc import Callable, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mmdecouple.registry import MODELS
from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.settings import Settings

from .photometric import change_colors
from .resampling import cut_views
from .samples import Samples

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@MODELS.register_module()
class DensePreprocessor(BaseDataPreprocessor):
    """Normalizes views on the device and runs the batch stages in order.

    If the samples have recipes of views (config key `device_views`), the views are cut out of the images first. If they
    have photometric operations (config keys `device_photometric` and `device_views`), these are applied next.

    A batch stage is a callable `stage(batch, generator) -> batch` on the dict of the model's arguments, `inputs` and
    `data_samples`; it may replace views. All random draws of a step, first those of the stages and then those of the
    model, come from one generator. `set_step` seeds it from (run seed, rank, iteration), so that a resumed run makes
    the same draws as an uninterrupted run. The generator is on the CPU: the draws are the same on every device, and
    sizes that depend on them, such as the number of masked positions, are known without synchronizing with the device.

    Args:
        mean: Channel means of RGB in [0, 255], (3,), or of the C channels of other images, (C,).
        std: Channel standard deviations in the same unit, above 0, of the same length.
        channels_last: Whether views are converted to the channels-last memory format.
        batch_stages: Configs of registered batch stages, which run in training only.

    Raises:
        SettingError: A value is out of range or of a wrong type.
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channels_last: bool = False,
        batch_stages: Sequence[dict] = (),
    ) -> None:
        super().__init__(non_blocking=True)
        check = Settings(self, 'model.data_preprocessor')
        mean, std = check.numbers('mean', mean), check.numbers('std', std, above=0)
        if len(mean) != len(std):
            check.refuse('mean', f'must be as long as std, got {len(mean)} and {len(std)} numbers')
        check.flag('channels_last', channels_last)
        if not isinstance(batch_stages, (list, tuple)):
            check.refuse('batch_stages', f'must be a list of dicts, got {shown(batch_stages)}')
        for index, stage in enumerate(batch_stages):
            check.block(f'batch_stages[{index}]', stage)
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.batch_stages: list[Callable] = [MODELS.build(stage) for stage in batch_stages]
        self.generator = torch.Generator()

    def set_step(self, seed: int, rank: int, iteration: int) -> None:
        """Seeds the generator for one training iteration."""
        self.generator.manual_seed(((seed * 1_000_003 + rank) * 1_000_000_007 + iteration) % 2**63)

    # Masks are drawn outside of compiled code: with `compile=True`, only the network is compiled.
    @torch.compiler.disable
    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepares a batch.

        Args:
            data: Dict with `inputs`, in training a list over views of uint8 (B, 3, H, W), otherwise a list over images
                of uint8 (3, H, W) of any sizes, and `data_samples`, a list of B samples. If these have recipes,
                `inputs` has one tensor, the pixels of all images one after the other.
            training: Whether to run the batch stages.

        Returns:
            Dict with `inputs`, the same list in normalized float32 on the device, and `data_samples`, in training as
            `Samples`.
        """
        images = self.cast_data(data['inputs'])
        if not training:
            return dict(inputs=[self._normalize(image) for image in images], data_samples=data.get('data_samples'))
        samples = Samples(data.get('data_samples'))
        recipes, operations = samples.recipes(), samples.operations()
        if recipes is not None:
            images = cut_views(images[0].reshape(-1, 3), recipes)
        if operations is not None:
            images = [change_colors(view, changes) for view, changes in zip(images, operations)]
        batch = dict(inputs=[self._normalize(view) for view in images], data_samples=samples)
        for stage in self.batch_stages:
            batch = stage(batch, self.generator)
        return batch

    def _normalize(self, image: Tensor) -> Tensor:
        if image.shape[-3] != len(self.mean):
            raise UserError(
                f'DensePreprocessor: images of {image.shape[-3]} channels have no {len(self.mean)} means (config keys '
                'model.data_preprocessor.mean and std).'
            )
        image = (image.float() - self.mean) / self.std
        return image.contiguous(memory_format=self.memory_format) if image.ndim == 4 else image

"""Choice of a config for a method, data and the machine; every choice is stated with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config

from mmdecouple.configuration import check_config
from mmdecouple.configuration.values import ROOT_KEYS
from mmdecouple.runs.changes import mixed_precision
from mmdecouple.utils.configs import apply_overrides, configs_folder
from mmdecouple.utils.data_spec import DataSpec
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.progress import in_words

from .data import count_images, is_drawn, name_of, set_data
from .lengths import epochs_within, set_epochs
from .machine import Machine, power_of_two
from .recipes import Method
from .timing import OutOfMemory, Speed

# Share of the images that a queue of negatives may hold: a longer one would hold the image itself. Published for COCO:
# 65536 of 118287, and 1024 of 2560 in the demo.
_QUEUE_SHARE = 0.6
_BATCH, _WORKERS = 'train_dataloader.batch_size', 'train_dataloader.num_workers'
_LR, _EPOCHS, _QUEUE = 'optim_wrapper.optimizer.lr', 'train_cfg.max_epochs', 'model.queue_length'
_PRECISION = 'optim_wrapper.precision'
DEFAULT_MINUTES = 30


class Choice(NamedTuple):
    """One line of the table of choices.

    Attributes:
        name: What was chosen.
        value: The value, for the reader.
        reason: The reason.
    """

    name: str
    value: str
    reason: str


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        method: The method.
        data: The data, with absolute paths.
        weights: Weight file of methods that need one; None for none.
        minutes: Longest duration; None for `DEFAULT_MINUTES`, which a single long epoch may exceed.
        epochs: Number of epochs; None for as many as fit into the time.
        seed: Seed of the run; None for one that the run draws.
        options: Overrides of the config with dotted keys.
    """

    method: Method
    data: DataSpec
    weights: str | None = None
    minutes: float | None = None
    epochs: int | None = None
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """Result of `choose`.

    Attributes:
        name: Name of the run and of its config, such as `ibot-d_vit-demo_photos`.
        config: Complete config.
        choices: Table of choices.
        seconds: Expected duration.
    """

    name: str
    config: Config
    choices: list[Choice]
    seconds: float


def choose(request: Request, machine: Machine, measure: Callable[[Config], Speed]) -> Chosen:
    """Chooses a config.

    Args:
        request: What the user asks for.
        machine: The machine.
        measure: Measures the speed of a config, see `measure_speed`.

    Raises:
        UserError: The method lacks its weight file, the data are unusable, an override does not fit, one epoch takes
            longer than the requested minutes, or a trial of the training fails.
    """
    small = not machine.has_gpu or is_drawn(request.data)
    origin, config = request.method.config(small)
    config.randomness.seed = request.seed
    choosing = _Choosing(request, machine, origin, config)
    choosing.add('network', _network(config), _reason_of_network(machine, small, origin))
    choosing.set_weights()
    set_data(config, request.data, request.method.config(small=False)[1] if small else None)
    for key in config.keys() - ROOT_KEYS:
        config.pop(key)
    # Checked before any of them is computed with.
    apply_overrides(config, choosing.options)
    check_config(config)
    choosing.set_loader()
    choosing.set_optimization()
    speed = choosing.try_out(measure)
    choosing.set_length(speed)
    name = f'{request.method.name}_{Path(origin).stem.split("_")[1]}_{name_of(request.data)}'
    return Chosen(name, config, choosing.choices, choosing.seconds)


class _Choosing:
    """Choices in their order, each of which may use the earlier ones; `config` is changed in place."""

    def __init__(self, request: Request, machine: Machine, origin: str, config: Config) -> None:
        self.request, self.machine, self.origin, self.config = request, machine, origin, config
        self.options = dict(request.options)
        self.choices: list[Choice] = []
        self.seconds = 0.0
        # The demo states no batch size of its learning rate: it is trained on one device.
        self.base_batch = config.get('auto_scale_lr', {}).get('base_batch_size') or config.train_dataloader.batch_size
        self.base_lr = config.optim_wrapper.optimizer.lr

    def add(self, name: str, value: Any, reason: str) -> None:
        self.choices.append(Choice(name, f'{value:g}' if isinstance(value, float) else str(value), reason))

    def take(self, name: str, key: str, value: Any, reason: str) -> Any:
        """Sets a value in the config, or keeps that of the user's override, and returns it."""
        if key in self.options:
            value, reason = self.options[key], '--cfg-options'
        self.config.merge_from_dict({key: value})
        self.add(name, value, reason)
        return value

    def set_weights(self) -> None:
        method, weights = self.request.method, self.request.weights
        key = method.recipe.weights
        if key is None and weights is not None:
            raise UserError(f'{method.name} starts from random weights; omit --weights.')
        if key is not None:
            weights = weights or self.options.get(key)
            if weights is None:
                role = 'learns from a frozen teacher' if 'teacher' in key else 'continues from pre-trained weights'
                raise UserError(f'{method.name} {role}: name its run folder or weight file (--weights).')
            self.take('weights', key, weights, '--weights')

    def set_loader(self) -> None:
        self.images = count_images(self.config)
        self.add('images', self.images, f'--data {self.request.data}')
        loader = self.config.train_dataloader
        most = self.base_batch if self.machine.has_gpu else 4 * self.base_batch
        batch, reason = self.machine.batch_size(loader.batch_size, most, self.images)
        self.batch = self.take('batch size', _BATCH, batch, reason)
        workers = self.take('loader processes', _WORKERS, *self.machine.workers())
        loader.persistent_workers = workers > 0

    def set_optimization(self) -> None:
        self._set_lr()
        precision = mixed_precision() if self.config.optim_wrapper.precision != 'fp32' else 'fp32'
        self.take('precision', _PRECISION, precision, 'as published, if the device has it')
        queue = self.config.model.get('queue_length')
        if queue is not None and self.request.method.recipe.weights is None:
            longest = int(power_of_two(max(_QUEUE_SHARE * self.images, 2)))
            reason = 'as in the recipe' if queue <= longest else f'at most {_QUEUE_SHARE:.0%} of the images'
            self.take('queue', _QUEUE, min(queue, longest), reason)

    def _set_lr(self) -> None:
        lr = float(f'{self.base_lr * self.batch / self.base_batch:.4g}')
        reason = f'in proportion: {self.base_lr:g} for {self.base_batch} images'
        self.take('learning rate', _LR, lr, reason)
        self.config.auto_scale_lr = dict(base_batch_size=self.batch)

    def try_out(self, measure: Callable[[Config], Speed]) -> Speed:
        """Measures the config, with a smaller batch if the memory is short."""
        while True:
            try:
                return measure(self.config)
            except OutOfMemory:
                if _BATCH in self.options or self.batch < 4:
                    raise UserError(
                        f'the memory of the device does not suffice for a batch of {self.batch} images; lower '
                        f'{_BATCH} (--cfg-options), or use --device cpu.'
                    ) from None
            self.choices = [choice for choice in self.choices if choice.name not in ('batch size', 'learning rate')]
            self.batch = self.take('batch size', _BATCH, self.batch // 2, 'the memory does not suffice for more')
            self._set_lr()

    def set_length(self, speed: Speed) -> None:
        steps = max(self.images // self.batch, 1)
        per_epoch, longest = steps * speed.step, self.request.method.recipe.longest
        minutes = self.request.minutes or DEFAULT_MINUTES
        epochs = self.options.get(_EPOCHS) or self.request.epochs
        if epochs is not None:
            reason = '--epochs' if _EPOCHS not in self.options else '--cfg-options'
        else:
            epochs = epochs_within(minutes, per_epoch, longest)
            reason = f'as many as fit into {minutes:g} min (--minutes)'
            if epochs == longest:
                reason = 'the longest published training'
            elif per_epoch > 60 * minutes:
                if self.request.minutes is not None:
                    raise UserError(
                        f'one epoch of {self.images} images takes {in_words(per_epoch)} here, more than --minutes '
                        f'{minutes:g}; allow more, or name fewer images (--data list:FILE).'
                    )
                reason = 'the shortest training; fewer images: --data list:FILE'
        self.add('speed', f'{speed.step:.3g} s per step', f'mean of {speed.steps} steps on this machine')
        self.add('epochs', epochs, reason)
        set_epochs(self.config, epochs, steps)
        self.seconds = epochs * per_epoch + speed.start
        hooks = self.config.default_hooks
        hooks.checkpoint.interval = min(max(round(300 / per_epoch), 1), epochs)
        hooks.logger.interval = min(max(epochs * steps // 20, 1), 50)
        apply_overrides(self.config, self.options)
        check_config(self.config)
        self.add('time', in_words(self.seconds), f'{epochs} x {steps} steps')


def _network(config: Config) -> str:
    backbone = config.model.backbone
    arch = backbone.get('arch', f'ResNet-{backbone.get("depth")}')
    if not isinstance(arch, str):
        return f'ViT of {arch["num_layers"]} blocks, width {arch["embed_dims"]}, patch {backbone.patch_size}'
    if 'patch_size' in backbone:
        return f'ViT {arch}, patch {backbone.patch_size}'
    return arch if backbone.get('num_stages', 4) == 4 else f'{arch} of {backbone.num_stages} stages'


def _reason_of_network(machine: Machine, small: bool, origin: str) -> str:
    place = configs_folder().name
    if not small:
        return f'published: {place}/{origin}.py'
    return f'small, for {"a CPU" if not machine.has_gpu else "drawn scenes"}: {place}/{origin}.py'

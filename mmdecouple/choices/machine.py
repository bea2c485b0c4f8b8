"""The machine, and the batch size and loader processes that suit it."""

from dataclasses import dataclass

from mmdecouple.runs.launch import cores

# Memory of the GPUs (RTX 3090) on which the batch sizes per GPU of the published configs were trained, in GiB.
_PUBLISHED_MEMORY = 24
# Cores for which the batch sizes of the demo were chosen, and the most by which more cores multiply them.
_DEMO_CORES, _MOST = 4, 4
_MOST_WORKERS = 16
_BATCHES = 4  # least batches of an epoch


@dataclass(frozen=True)
class Machine:
    """What is known about a machine before anything is measured.

    Attributes:
        device: `cpu` or `cuda`.
        name: Name of the device, for the reader.
        cores: Number of cores that the process may use.
        memory: Memory of the GPU in GiB; 0 without one.
        gpus: Number of GPUs, of which one is used.
    """

    device: str
    name: str
    cores: int
    memory: float = 0.0
    gpus: int = 0

    @property
    def has_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device == 'cuda'

    def batch_size(self, recipe: int, most: int, images: int) -> tuple[int, str]:
        """Returns a batch size and the reason for it.

        On a GPU, the batch per GPU of the published config is scaled with the memory in powers of two, up to the total
        published batch; on a CPU, that of the demo with the cores. An epoch has at least four batches, if the images
        suffice for batches of two.

        Args:
            recipe: Batch size per device of the shipped config.
            most: Largest batch size.
            images: Number of images, at least 2.
        """
        if self.has_gpu:
            factor = power_of_two(self.memory / _PUBLISHED_MEMORY)
            reason = f'{recipe} per {_PUBLISHED_MEMORY} GiB of GPU memory'
        else:
            factor = min(power_of_two(max(self.cores / _DEMO_CORES, 1)), _MOST)
            reason = 'as in the demo' + (f', times {factor:g} for {self.cores} cores' if factor > 1 else '')
        batch = max(min(int(recipe * factor), most), 2)
        fitting = max(int(power_of_two(images / _BATCHES)), 2)
        return (fitting, f'at least {_BATCHES} batches in an epoch') if fitting < batch else (batch, reason)

    def workers(self) -> tuple[int, str]:
        """Returns the number of loader processes and the reason for it."""
        if self.has_gpu:
            return min(max(self.cores - 1, 1), _MOST_WORKERS), f'{self.cores} cores, one for the training'
        return min(max(self.cores // 2, 1), _MOST_WORKERS), f'half of {self.cores} cores'


def this_machine() -> Machine:
    """Returns the machine of this process, after `choose_device`."""
    import torch

    if not torch.cuda.is_available():
        return Machine('cpu', f'CPU, {cores()} cores', cores())
    facts = torch.cuda.get_device_properties(0)
    gpus = torch.cuda.device_count()
    return Machine('cuda', f'1 of {gpus} GPUs, {facts.name}', cores(), facts.total_memory / 2**30, gpus)


def power_of_two(value: float) -> float:
    """Returns the largest power of two that is at most `value`, which is positive; below 1 it is a fraction.

    A card of 24 GB reports a little less, so a value that falls short by up to 3 % counts as reached.
    """
    power = 1.0
    while power > value * 1.03:
        power /= 2
    while 2 * power <= value * 1.03:
        power *= 2
    return power

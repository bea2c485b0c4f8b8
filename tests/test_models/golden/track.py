"""How far the tensors of a run go: what the recipes of whole runs record and the tests compare."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from . import formula

State = Callable[[], dict[str, Tensor]]


class Track:
    """Follows named tensors from where they start.

    After each step two numbers of every tensor are noted, of how it differs from its start: the L2 norm and the
    projection on `formula.tensor('direction {name}', shape)`. Together they notice any change of a tensor, and
    take no more room for a large one.

    Args:
        state: Gives the tensors, by the names that the record has.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._start = {name: tensor.detach().double().clone() for name, tensor in state().items()}
        self._directions = {
            name: formula.tensor(f'direction {name}', tuple(tensor.shape)).double()
            for name, tensor in self._start.items()
        }
        self.norms: dict[str, list[float]] = {name: [] for name in self._start}
        self.projections: dict[str, list[float]] = {name: [] for name in self._start}

    @torch.no_grad()
    def note(self) -> None:
        """Take down where the tensors are."""
        for name, tensor in self._state().items():
            change = tensor.double() - self._start[name]
            self.norms[name].append(change.norm().item())
            self.projections[name].append((change * self._directions[name]).sum().item())

    def record(self) -> dict:
        """What was noted."""
        return {'norms': self.norms, 'projections': self.projections}


class Noting:
    """The batches of an epoch for an official loop; when it asks for the next one, a step is over.

    Args:
        batches: Batches of the epoch.
        after: Called after each step.
    """

    def __init__(self, batches: list, after: Callable[[], None]) -> None:
        self._batches, self._after = batches, after

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator:
        for batch in self._batches:
            yield batch
            self._after()

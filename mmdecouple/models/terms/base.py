"""Interface of further loss terms, and the list of those of a method."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from mmdecouple.models.layers import BackboneFreezing, EpochDependent
from mmdecouple.registry import MODELS
from mmdecouple.utils.settings import Settings

if TYPE_CHECKING:
    from mmdecouple.models.algorithms.base import DenseAlgorithm
    from mmdecouple.models.algorithms.step import Step


class LossTerm(EpochDependent, nn.Module):
    """A loss term that is added to those of a method, after the de-coupling branch has weighted them.

    A term implements `forward`. It makes no random draws, so that a method draws the same with and without it.

    Args:
        student: Modules that the teacher copies, by name; the class `LossTerms` passes them.
        weight: Factor of the term, at least 0; at 0 the term is not computed.
        start_epoch: First epoch (from 0) in which the term is computed.

    Attributes:
        reads_map: Whether the term reads `step.student['map']`, the backbone features of the student's clean views.
        active: Whether the term is computed in the current epoch.

    Raises:
        SettingError: A value is out of range.
    """

    reads_map = False

    def __init__(self, student: dict[str, nn.Module], weight: float = 1.0, start_epoch: int = 0) -> None:
        super().__init__()
        check = Settings(self, 'model.terms')
        self.weight = check.number('weight', weight, 0)
        self.first_epoch = check.number('start_epoch', start_epoch, 0, whole=True)
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Activates the term in its epochs; `epoch` counts from 0."""
        self.active = self.weight > 0 and epoch >= self.first_epoch

    def begins(self) -> dict[str, int]:
        """See `EpochDependent`: the term."""
        return {'model.terms.start_epoch': self.first_epoch}

    def end_epoch(self, epoch: int, teacher: nn.Module) -> None:
        """Called once after the last iteration of an epoch (from 0), before a checkpoint of that epoch is saved."""

    def reset(self, teacher: nn.Module) -> None:
        """Called when a run starts, after all weights are loaded, with the teacher; not called by a resume."""

    def forward(self, step: 'Step', model: 'DenseAlgorithm') -> dict[str, Tensor]:
        """Returns named terms: those named `loss_*` are weighted and added to the loss, the others are logged.

        Args:
            step: The step with the outputs of both networks.
            model: The method.
        """
        raise NotImplementedError


class LossTerms(nn.ModuleList):
    """The further terms of a method.

    A term that reads the map is not computed while the backbone is frozen, as it would have no gradient.

    Args:
        configs: Configs of the terms.
        student: Modules that the teacher copies, by name.
        freezing: The epochs in which the backbone is frozen.

    Raises:
        SettingError: An entry is not a dict with a type, or a value of a term is out of range.
    """

    def __init__(self, configs: Sequence[dict], student: dict[str, nn.Module], freezing: BackboneFreezing) -> None:
        check = Settings('LossTerms', 'model')
        if not isinstance(configs, (list, tuple)):
            check.refuse('terms', 'must be a list of dicts, each with a type')
        for index, config in enumerate(configs):
            check.block(f'terms[{index}]', config)
            kind = MODELS.get(config['type']) if isinstance(config['type'], str) else config['type']
            if isinstance(kind, type) and not issubclass(kind, LossTerm):
                check.refuse(
                    f'terms[{index}].type', f'must be a LossTerm, such as GramAnchoring, got {config["type"]!r}'
                )
        super().__init__(MODELS.build({**config, 'student': student}) for config in configs)
        # In a tuple, which does not register it as a module of this one.
        self._freezing = (freezing,)

    @property
    def read_map(self) -> bool:
        """Whether a term that is computed in the current epoch reads the student's `map`."""
        return any(term.reads_map for term in self._computed())

    def reset(self, teacher: nn.Module) -> None:
        """Starts all terms from the teacher."""
        for term in self:
            term.reset(teacher)

    def end_epoch(self, epoch: int, teacher: nn.Module) -> None:
        """Ends an epoch (from 0) of all terms."""
        for term in self:
            term.end_epoch(epoch, teacher)

    def forward(self, step: 'Step', model: 'DenseAlgorithm') -> dict[str, Tensor]:
        """Returns the named terms of all that are computed in the current epoch; a name that repeats gets a number."""
        found: dict[str, Tensor] = {}
        for term in self._computed():
            for name, value in term(step, model).items():
                number = sum(each == name or each.startswith(f'{name}_term') for each in found)
                found[f'{name}_term{number + 1}' if number else name] = value
        return found

    def _computed(self) -> list[LossTerm]:
        (freezing,) = self._freezing
        return [term for term in self if term.active and not (term.reads_map and freezing.active)]

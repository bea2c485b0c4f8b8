"""One word chooses the precision, on the CPU too."""
import pytest
import torch
from torch import nn

from mmdecouple.engine import PrecisionOptimWrapper


def wrapper(precision: str, model: nn.Module) -> PrecisionOptimWrapper:
    return PrecisionOptimWrapper(precision, optimizer=torch.optim.SGD(model.parameters(), 0.1))


@pytest.mark.parametrize('precision, dtype', [('bf16', torch.bfloat16), ('fp32', torch.float32)])
def test_forward_runs_in_the_chosen_precision_and_weights_stay_in_float32(precision, dtype):
    model = nn.Linear(4, 4)
    optim = wrapper(precision, model)
    with optim.optim_context(model):
        out = model(torch.randn(2, 4))
    before = model.weight.detach().clone()
    optim.update_params(out.float().square().sum())
    assert out.dtype == dtype
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, before)


def test_its_state_survives_a_round_trip():
    model = nn.Linear(4, 4)
    first, second = wrapper('bf16', model), wrapper('bf16', model)
    first.optimizer.param_groups[0]['lr'] = 0.03
    second.load_state_dict(first.state_dict())
    assert second.optimizer.param_groups[0]['lr'] == 0.03


@pytest.mark.parametrize('precision, words', [('half', 'must be one of bf16, fp16, fp32'),
                                              pytest.param('fp16', 'fp16 needs a GPU', marks=pytest.mark.skipif(
                                                  torch.cuda.is_available(), reason='a GPU is here'))])
def test_a_precision_that_cannot_be_had_is_refused(precision, words):
    with pytest.raises(ValueError, match=words):
        wrapper(precision, nn.Linear(2, 2))

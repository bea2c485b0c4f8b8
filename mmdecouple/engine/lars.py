"""LARS in the form of SoCo."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from mmdecouple.registry import OPTIMIZERS
from mmdecouple.utils.settings import Settings


@OPTIMIZERS.register_module()
class SoCoLARS(Optimizer):
    """SGD with momentum on gradients that are rescaled layer by layer.

    g <- g + wd w;  g <- trust |w| / (|g| + eps) g;  v <- mu v + g;  w <- w - lr v

    Weight decay is added to the gradient before its norm is computed, and the learning rate is not part of the momentum
    buffer. mmpretrain's LARS differs in both, so that its updates differ under warm-up and cosine schedules.
    One-dimensional parameters have neither weight decay nor rescaling.

    Like torch's fused optimizers, it skips a step on the device if the attribute `found_inf` is not 0.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate, at least 0.
        momentum: mu, in [0, 1).
        weight_decay: wd, for parameters with two or more dimensions, at least 0.
        trust: Trust coefficient, above 0.
        eps: Term that avoids division by zero, above 0.

    Raises:
        SettingError: A value is out of range.

    Source: `hologerry/SoCo contrast/lars.py` (MIT).
    """

    _step_supports_amp_scaling = True

    def __init__(
        self,
        params,
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 1e-5,
        trust: float = 0.001,
        eps: float = 1e-8,
    ) -> None:
        check = Settings('SoCoLARS', 'optim_wrapper.optimizer')
        check.number('lr', lr, 0)
        check.number('momentum', momentum, 0, below=1)
        check.number('weight_decay', weight_decay, 0)
        check.number('trust', trust, above=0)
        check.number('eps', eps, above=0)
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, trust=trust, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        """Updates every parameter that has a gradient.

        Args:
            closure: Function that recomputes the loss; None for none.

        Returns:
            The loss of the closure, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            updated = [p for p in group['params'] if p.grad is not None]
            for wide in (True, False):
                self._update([p for p in updated if (p.ndim > 1) == wide], group, wide)
        return loss

    def _update(self, parameters: list[Tensor], group: dict, wide: bool) -> None:
        if not parameters:
            return
        gradients, scale = [p.grad for p in parameters], getattr(self, 'grad_scale', None)
        if scale is not None:
            gradients = torch._foreach_div(gradients, scale)
        if wide:
            gradients = torch._foreach_add(gradients, parameters, alpha=group['weight_decay'])
            weights, norms = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
            ratios = [
                torch.where((w > 0) & (g > 0), group['trust'] * w / (g + group['eps']), 1.0)
                for w, g in zip(weights, norms)
            ]
            gradients = torch._foreach_mul(gradients, ratios)
        for p in parameters:
            if 'momentum_buffer' not in self.state[p]:
                self.state[p]['momentum_buffer'] = torch.zeros_like(p)
        buffers, found = [self.state[p]['momentum_buffer'] for p in parameters], getattr(self, 'found_inf', None)
        before = None if found is None else [part.clone() for part in (*buffers, *parameters)]
        torch._foreach_mul_(buffers, group['momentum'])
        torch._foreach_add_(buffers, gradients)
        torch._foreach_add_(parameters, buffers, alpha=-group['lr'])
        if found is not None:
            for part, old in zip((*buffers, *parameters), before):
                part.copy_(torch.where(found > 0, old, part))

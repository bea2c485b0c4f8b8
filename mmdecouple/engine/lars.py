"""LARS in the form that SoCo uses."""
import torch
from torch import Tensor
from torch.optim import Optimizer

from mmdecouple.registry import OPTIMIZERS


@OPTIMIZERS.register_module(name='SoCoLARS')
class LARS(Optimizer):
    """SGD with momentum on gradients rescaled layer by layer.

    g <- g + wd w;  g <- trust |w| / (|g| + eps) g;  v <- mu v + g;  w <- w - lr v

    Weight decay enters the gradient before its norm is taken, and the learning rate stays outside of the momentum
    buffer. mmpretrain's LARS differs in both; with warm-up and a cosine the buffers then drift apart. One-dimensional
    parameters have neither weight decay nor rescaling.

    Args:
        params: Parameters, or groups of them.
        lr: Learning rate.
        momentum: mu.
        weight_decay: wd, of parameters with two or more dimensions.
        trust: Trust coefficient.
        eps: Against a division by zero.

    Source: `hologerry/SoCo contrast/lars.py` (MIT).
    """

    def __init__(self, params, lr: float, momentum: float = 0.9, weight_decay: float = 1e-5, trust: float = 0.001,
                 eps: float = 1e-8) -> None:
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay, trust=trust, eps=eps))

    @torch.no_grad()
    def step(self, closure=None):
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            held = [p for p in group['params'] if p.grad is not None]
            for wide in (True, False):
                self._update([p for p in held if (p.ndim > 1) == wide], group, wide)
        return loss

    def _update(self, parameters: list[Tensor], group: dict, wide: bool) -> None:
        if not parameters:
            return
        gradients = [p.grad for p in parameters]
        if wide:
            gradients = torch._foreach_add(gradients, parameters, alpha=group['weight_decay'])
            weights, norms = torch._foreach_norm(parameters), torch._foreach_norm(gradients)
            ratios = [torch.where((w > 0) & (g > 0), group['trust'] * w / (g + group['eps']), 1.)
                      for w, g in zip(weights, norms)]
            gradients = torch._foreach_mul(gradients, ratios)
        for p, gradient in zip(parameters, gradients):
            if 'momentum_buffer' not in self.state[p]:
                self.state[p]['momentum_buffer'] = torch.zeros_like(p)
        buffers = [self.state[p]['momentum_buffer'] for p in parameters]
        torch._foreach_mul_(buffers, group['momentum'])
        torch._foreach_add_(buffers, gradients)
        torch._foreach_add_(parameters, buffers, alpha=-group['lr'])

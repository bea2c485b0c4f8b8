"""Matching of positions by rank of similarity."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.utils.errors import UserError, shown
from mmdecouple.utils.settings import Settings


class RankedMatch:
    """Matches each position with its n-th most similar position, or with a random one.

    index_i is the j with the n-th largest cos(query_i, key_j), computed in float32.

    Args:
        rank: n, a whole number of at least 1, or `random`, where j is uniform over all positions.
        owner: Name of the method, for error messages.
        setting: Name of the setting, for error messages.

    Raises:
        SettingError: The rank is neither of these.

    Source: paper Fig. 9 ("S-T/@n", "T@n", "Rand").
    """

    def __init__(self, rank: int | str, owner: str, setting: str) -> None:
        self.rank, self.name, self.key = rank, f'{owner}: {setting}', f'(config key model.{setting})'
        if not isinstance(rank, str):
            Settings(owner, 'model').number(setting, rank, 1, whole=True)
        elif rank != 'random':
            Settings(owner, 'model').refuse(setting, f"must be a whole number or 'random', got {shown(rank)}")

    def draw(self, views: Tensor, positions: int, generator: torch.Generator) -> Tensor | None:
        """Draws random matches for a batch: indices (B, positions) if the rank is `random`, None otherwise.

        Args:
            views: Any tensor of the B views, (B, ...), whose device the indices are moved to.
            positions: Number of positions in a view.
            generator: Source of the draws, on the CPU.

        Raises:
            UserError: A view has fewer positions than the rank.
        """
        if self.rank == 'random':
            drawn = torch.randint(positions, (len(views), positions), generator=generator)
            return drawn.to(views.device, non_blocking=True)
        if self.rank > positions:
            raise UserError(
                f'{self.name} must not exceed the {positions} positions of a view, got {self.rank} {self.key}.'
            )
        return None

    @torch.no_grad()
    def __call__(self, query: Tensor, key: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Returns the indices of the matched key positions, (B, P).

        Args:
            query: Features of the query positions, (B, P, C).
            key: Features of the key positions, (B, P, C).
            drawn: Return value of `draw`.
        """
        if drawn is not None:
            return drawn
        # In half precision most cosines of a view are tied, and ties are resolved in favor of the first positions.
        with torch.autocast(query.device.type, enabled=False):
            query, key = (F.normalize(features.float(), dim=2) for features in (query, key))
            return torch.bmm(query, key.transpose(1, 2)).topk(self.rank, dim=2).indices[..., -1]

"""Order of the samples of an epoch, as a function of position: without a table if the data set is large."""

import math

import numpy as np
import torch

from mmdecouple.datasets.seeding import derive_seeds

# Largest data set whose order is a table (8 MiB). Smaller ones keep the order of torch.randperm, with which earlier
# versions trained, so that their runs and published numbers stay reproducible.
LARGEST_TABLE = 2**20
_ROUNDS = 8


def order_rule(size: int, shuffle: bool) -> str:
    """Returns the name of the rule that gives the order of an epoch of `size` samples; see `EpochOrder`."""
    if not shuffle:
        return 'list'
    return 'randperm' if size <= LARGEST_TABLE else 'feistel-1'


class EpochOrder:
    """The order of one epoch, which depends only on (size, seed, epoch).

    Up to `LARGEST_TABLE` samples, the order is a table of `torch.randperm`. Above, it is a `KeyedPermutation`, which
    takes no memory and gives the sample at any position directly. `order_rule` names the rule; checkpoints record the
    name, and a resume is refused if it changed.

    Args:
        size: Number of samples, at least 1.
        seed: Seed of the run.
        epoch: Number of the epoch, at least 0.
        shuffle: Whether the order is random; otherwise it is that of the data set.
    """

    def __init__(self, size: int, seed: int, epoch: int, shuffle: bool = True) -> None:
        self._table: np.ndarray | None = None
        self._permutation: KeyedPermutation | None = None
        rule = order_rule(size, shuffle)
        if rule == 'randperm':
            generator = torch.Generator()
            generator.manual_seed(derive_seeds(seed, epoch, stream='order')[0])
            self._table = torch.randperm(size, generator=generator).numpy()
        elif rule == 'feistel-1':
            self._permutation = KeyedPermutation(size, derive_seeds(seed, epoch, stream='order', count=2 * _ROUNDS))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Returns the indices of the samples at positions of the epoch.

        Args:
            positions: Positions in [0, size), int64 `(N,)`.

        Returns:
            Indices in [0, size), int64 `(N,)`.
        """
        if self._table is not None:
            return self._table[positions]
        if self._permutation is not None:
            return self._permutation.at(positions)
        return positions


class KeyedPermutation:
    """A pseudo-random permutation of [0, size) that is computed for single positions, without a table.

    It is the generalized Feistel network with cycle walking of Black and Rogaway, "Ciphers with Arbitrary Finite
    Domains" (CT-RSA 2002): a position is a pair (left, right) in [0, a) x [0, b), the smallest such domain with
    a = ceil(sqrt(size)) that covers [0, size). Each round adds a keyed hash of one part to the other, modulo a or b,
    and can thus be undone. A result outside [0, size), which at most one position in sqrt(size) has, is permuted again.
    The hash is the finalizer of SplitMix64 (Steele et al., OOPSLA 2014); the permutation shuffles well but is not
    cryptographic.

    Args:
        size: Number of positions, in [1, 2**62].
        keys: Integers in [0, 2**32), two for each round.
    """

    def __init__(self, size: int, keys: list[int]) -> None:
        self._size = size
        self._lefts = math.isqrt(size - 1) + 1
        self._rights = -(-size // self._lefts)
        self._keys = [np.uint64(high << 32 | low) for high, low in zip(keys[::2], keys[1::2])]

    def at(self, positions: np.ndarray) -> np.ndarray:
        """Returns the images of positions in [0, size), int64 `(N,)`, in the same order and type."""
        values = self._permute(np.asarray(positions, np.uint64))
        while (outside := np.flatnonzero(values >= self._size)).size:
            values[outside] = self._permute(values[outside])
        return values.astype(np.int64)

    def _permute(self, values: np.ndarray) -> np.ndarray:
        lefts, rights = np.uint64(self._lefts), np.uint64(self._rights)
        left, right = values // rights, values % rights
        for number, key in enumerate(self._keys):
            if number % 2:
                right = (right + _hash(left, key) % rights) % rights
            else:
                left = (left + _hash(right, key) % lefts) % lefts
        return left * rights + right


def _hash(values: np.ndarray, key: np.uint64) -> np.ndarray:
    values = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) ^ key
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)

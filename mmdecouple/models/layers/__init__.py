from .batch_shuffle import batch_shuffle, batch_unshuffle
from .center import Center
from .embedding_queue import EmbeddingQueue
from .negative_queue import NegativeQueue
from .recomputation import count_batches_once
from .split_bn import SplitBN

__all__ = ['Center', 'EmbeddingQueue', 'NegativeQueue', 'SplitBN', 'batch_shuffle', 'batch_unshuffle',
           'count_batches_once']

"""Views are normalized by the published statistics, in the memory format that was asked for."""

import pytest
import torch

from mmdecouple.models import DensePreprocessor

from .conftest import batch


@pytest.mark.parametrize('training', [True, False])
def test_views_are_normalized_by_their_channel(training):
    views = (
        batch()['inputs']
        if training
        else [torch.randint(0, 256, (3, 5, height), dtype=torch.uint8) for height in (4, 7)]
    )
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    made = DensePreprocessor()(dict(inputs=views, data_samples=None), training)['inputs']
    assert len(made) == 2
    for view, raw in zip(made, views):
        assert view.dtype == torch.float32
        for channel, (center, width) in enumerate(zip(mean, std)):
            expected = (raw.double().movedim(-3, 0)[channel] - center) / width
            torch.testing.assert_close(view.double().movedim(-3, 0)[channel], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('channels_last', [False, True])
def test_batches_of_views_have_the_memory_format_asked_for(channels_last):
    preprocessor = DensePreprocessor(channels_last=channels_last)
    for view in preprocessor(batch(), True)['inputs']:
        assert view.is_contiguous(memory_format=torch.channels_last) is channels_last
        assert view.is_contiguous() is not channels_last
    # Single images, which the measures give, have no such format.
    (image,) = preprocessor(dict(inputs=[torch.zeros(3, 8, 6, dtype=torch.uint8)]))['inputs']
    assert image.shape == (3, 8, 6) and image.is_contiguous()


def test_the_draws_of_a_step_depend_on_seed_rank_and_iteration():
    preprocessor, draws = DensePreprocessor(), {}
    for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (5, 3, 10**6), (2**31 - 1, 511, 10**8)):
        for _ in range(2):
            preprocessor.set_step(*key)
            draws.setdefault(key, set()).add(torch.rand((), generator=preprocessor.generator).item())
    assert all(len(found) == 1 for found in draws.values()) and len(set.union(*draws.values())) == len(draws)

"""What holds for every cut mask, whatever it is drawn from."""

import pytest
import torch

from mmdecouple import masks

from .mask_oracles import seeded

KINDS = sorted(masks.MASKS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def build(kind, **settings):
    return masks.build_mask(dict(type=kind, **settings))


@pytest.mark.parametrize('size', [(14, 14), (7, 7), (5, 9), (28, 12)])
@pytest.mark.parametrize('kind', KINDS)
def test_one_generator_seed_gives_one_batch_of_masks(kind, size):
    mask = build(kind)
    first = mask.sample(6, size, generator=generator(3))
    assert first.shape == (6, *size) and first.dtype == torch.bool
    assert first.any() and not first.all()
    assert torch.equal(first, mask.sample(6, size, generator=generator(3)))
    assert not torch.equal(first, mask.sample(6, size, generator=generator(4)))


@pytest.mark.parametrize('kind', KINDS)
def test_drawing_leaves_the_global_generator_alone(kind):
    before = torch.get_rng_state()
    build(kind).sample(4, (14, 14), generator=generator())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize('kind', KINDS)
def test_making_a_mask_never_looks_at_a_value(kind):
    """Meta tensors hold no values: what runs on them waits for no device and fits any of them."""
    mask = build(kind).sample(4, (14, 10), generator=generator(), device='meta')
    assert mask.shape == (4, 14, 10) and mask.device.type == 'meta'


@pytest.mark.parametrize('kind', KINDS)
def test_mixed_precision_does_not_change_a_mask(kind):
    plain = build(kind).sample(8, (224, 224), generator=generator())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = build(kind).sample(8, (224, 224), generator=generator())
    assert torch.equal(plain, mixed)


@pytest.mark.cuda
@pytest.mark.parametrize('kind', KINDS)
def test_a_cpu_generator_gives_the_same_masks_on_the_gpu_without_a_sync(kind):
    expected = build(kind).sample(64, (14, 14), generator=generator())
    build(kind).sample(64, (14, 14), generator=torch.Generator('cuda'), device='cuda')
    torch.cuda.set_sync_debug_mode('error')
    try:
        build(kind).sample(64, (14, 14), generator=torch.Generator('cuda'), device='cuda')
    finally:
        torch.cuda.set_sync_debug_mode('default')
    found = build(kind).sample(64, (14, 14), generator=generator(), device='cuda').cpu()
    assert (found != expected).float().mean() < 1e-3


def test_rcc_with_one_region_cuts_the_ratio_inside_the_region_and_nothing_else():
    regions = torch.tensor([[[2.0, 3.0, 12.0, 13.0]]]).expand(4000, 1, 4)
    cut = masks.rcc(regions, 0.36, (16, 16), seeded(4000, 1, 2, seed=0))
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[3:13, 2:12] = True
    assert not (cut & ~inside).any()
    assert (cut.flatten(1).sum(1) == 36).all()


def test_rcc_restores_a_region_that_larger_regions_have_cut_too_much():
    """The small region lies in the cut of the large one: it is given back and cut anew."""
    regions = torch.tensor([[[4.0, 4.0, 6.0, 6.0], [0.0, 0.0, 10.0, 10.0]]])
    cut = masks.rcc(regions, 0.25, (10, 10), torch.tensor([[[0.0, 0.0], [0.5, 0.5]]]))[0]
    expected = torch.zeros(10, 10, dtype=torch.bool)
    expected[2:7, 2:7] = True
    expected[4:6, 4:6] = False
    expected[4, 4] = True
    assert torch.equal(cut, expected)


def test_the_order_in_which_regions_are_given_does_not_matter_when_their_areas_differ():
    regions = masks.grid_regions(32, (14, 14), generator=generator())
    draws, order = seeded(32, 9, 2, seed=1), torch.randperm(9, generator=generator(5))
    assert torch.equal(
        masks.rcc(regions, 0.4, (14, 14), draws), masks.rcc(regions[:, order], 0.4, (14, 14), draws[:, order])
    )


@pytest.mark.parametrize('rule', [masks.rcc, masks.cutout])
def test_padding_boxes_and_a_ratio_of_zero_cut_nothing(rule):
    regions = masks.grid_regions(8, (14, 14), generator=generator())
    draws = seeded(8, 11, 2, seed=0)
    padded = torch.cat((regions, torch.zeros(8, 2, 4)), 1)
    assert torch.equal(rule(padded, 0.4, (14, 14), draws), rule(regions, 0.4, (14, 14), draws[:, :9]))
    assert not rule(regions, 0.0, (14, 14), draws[:, :9]).any()


def test_random_masks_cut_exactly_the_asked_number_of_cells():
    ratio = torch.tensor([0.0, 0.25, 0.4, 1.0])
    cut = masks.random_cells(ratio, (7, 9), seeded(4, 63, seed=0))
    assert cut.flatten(1).sum(1).tolist() == [0, 15, 25, 63]


def test_blockwise_masks_come_near_the_asked_share_and_never_exceed_it():
    share = masks.masked_share(build('Blockwise', cut_ratio=0.4).sample(2000, (14, 14), generator=generator()))
    assert share.max() <= 0.4 and share.mean() > 0.38


def test_a_rectangle_is_one_block_of_foreground_with_the_asked_area():
    cut = build('Rectangle', area=0.25, aspect=1.0).sample(500, (32, 32), generator=generator())
    rows, columns = (~cut).any(2), (~cut).any(1)
    assert torch.equal(~cut, rows[:, :, None] & columns[:, None])
    assert (rows.sum(1) == 16).all() and (columns.sum(1) == 16).all()


def test_pixels_become_cells_by_scaling_alone():
    boxes = torch.tensor([[16.0, 32.0, 224.0, 100.0]])
    cells = masks.pixels_to_cells(boxes, (112, 224), (7, 14))
    assert torch.allclose(cells, torch.tensor([[1.0, 2.0, 14.0, 6.25]]))


def test_region_ratio_counts_the_cells_that_a_region_touches():
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[0, 1, 1:4] = True
    regions = torch.tensor([[[0.5, 0.2, 3.0, 2.0], [0.0, 0.0, 6.0, 4.0], [1.0, 1.0, 1.0, 3.0]]])
    ratio = masks.region_ratio(mask, regions)[0]
    assert ratio[:2].tolist() == pytest.approx([2 / 6, 3 / 24]) and ratio[2].isnan()

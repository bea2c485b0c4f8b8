"""Plain per-sample versions of the mask rules: one box, one cell at a time.

They compute in float32, like the package, because a cell center that lies on an edge must fall on
the same side; the released rule in Python's own floats.
"""

import math

import numpy as np
import torch

F = np.float32


def as_float32(values):
    return np.asarray(values, dtype=np.float32)


def log_uniform(draws, low, high):
    """Only the exponential is taken from torch: its last bit differs between libraries."""
    return (math.log(low) + (math.log(high) - math.log(low)) * draws).exp().numpy()


def inside(center, start, stop):
    return start <= F(center + 0.5) < stop


def cells_of(x1, y1, x2, y2, size):
    return [(i, j) for i in range(size[0]) for j in range(size[1]) if inside(j, x1, x2) and inside(i, y1, y2)]


def touched(box, size):
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return []
    return [(i, j) for i in range(size[0]) for j in range(size[1]) if j < x2 and j + 1 > x1 and i < y2 and i + 1 > y1]


def frame(cells):
    """First column, first row, number of columns, number of rows of a box of cells."""
    rows, columns = sorted({i for i, _ in cells}), sorted({j for _, j in cells})
    return F(columns[0]), F(rows[0]), F(len(columns)), F(len(rows))


def place_regions(draws, size, grid, area, aspect):
    height, width = size
    ratios = log_uniform(draws[..., 3], *aspect)
    boxes = np.zeros(draws.shape, np.float32)
    for b in range(draws.shape[0]):
        for k in range(grid * grid):
            u, v, a, _ = as_float32(draws[b, k])
            x = (k % grid + F(0.25) + F(0.5) * u) * F(width / grid)
            y = (k // grid + F(0.25) + F(0.5) * v) * F(height / grid)
            cells = (F(area[0]) + F(area[1] - area[0]) * a) * F(height * width)
            w, h = F(0.5) * np.sqrt(cells * ratios[b, k]), F(0.5) * np.sqrt(cells / ratios[b, k])
            boxes[b, k] = max(x - w, 0), max(y - h, 0), min(x + w, width), min(y + h, height)
    return boxes


def rcc(regions, cut_ratio, size, draws, rule):
    regions, ratios, draws = as_float32(regions), as_float32(cut_ratio), as_float32(draws)
    masks = np.zeros((len(regions), *size), bool)
    for mask, boxes, r_c, positions in zip(masks, regions, ratios, draws):
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
        for k in sorted(range(len(boxes)), key=lambda k: areas[k], reverse=True):
            cells = touched(boxes[k], size)
            if not cells:
                continue
            left, top, width, height = frame(cells)
            share = F(sum(mask[cell] for cell in cells)) / F(len(cells))
            share = F(1) - share if rule == 'printed' else share
            if share > r_c:
                for cell in cells:
                    mask[cell] = False
                share = F(0)
            u, v = positions[k]
            scale = r_c - share if rule == 'printed' else np.sqrt(r_c - share)
            a, b = scale * width, scale * height
            if rule == 'printed':
                x, y = left - a + u * (width + a), top - b + v * (height + b)
            else:
                x, y = left + u * (width - a), top + v * (height - b)
            for cell in cells_of(x, y, x + a, y + b, size):
                mask[cell] = True
    return masks


def released_boxes(draws, grid, area, aspect):
    """Boxes as shares of the view: area first, then the sides, then the center in the middle half of its grid cell."""
    boxes = []
    ratios = log_uniform(draws[:, 3], *aspect)
    for k, (u, v, a, _) in enumerate(draws.tolist()):
        share, ratio = area[0] + (area[1] - area[0]) * a, float(ratios[k])
        w, h = math.sqrt(share * ratio), math.sqrt(share / ratio)
        x, y = ((place + 0.25 + 0.5 * draw) / grid for place, draw in ((k % grid, u), (k // grid, v)))
        boxes.append((max(0, x - w / 2), max(0, y - h / 2), min(1, x + w / 2), min(1, y + h / 2)))
    return boxes


def released_cells(box, size):
    """Rows and columns from corner to corner, both rounded and both included."""
    x1, y1, x2, y2 = (round(edge) for edge in box)
    return range(y1, min(y2, size[0] - 1) + 1), range(x1, min(x2, size[1] - 1) + 1)


def released(boxes, cut_ratio, size, draws):
    """One mask; boxes in cells."""
    mask = np.zeros(size, bool)
    for k in sorted(
        range(len(boxes)), key=lambda k: (boxes[k][2] - boxes[k][0]) * (boxes[k][3] - boxes[k][1]), reverse=True
    ):
        rows, columns = released_cells(boxes[k], size)
        cells = [(i, j) for i in rows for j in columns]
        if not cells or boxes[k][0] >= boxes[k][2] or boxes[k][1] >= boxes[k][3]:
            continue
        share = 1 - sum(not mask[cell] for cell in cells) / len(cells)
        if share > cut_ratio:
            for cell in cells:
                mask[cell] = False
            share = 0
        area, aspect = (cut_ratio - share) * len(cells), len(columns) / len(rows)
        w, h = math.sqrt(area * aspect), math.sqrt(area / aspect)
        if not w or not h:
            continue
        (u, v) = draws[k]
        x, y = u * (len(columns) - 1 - w) + columns[0], v * (len(rows) - 1 - h) + rows[0]
        right, low = min(round(x + w - 1), columns[-1]), min(round(y + h - 1), rows[-1])
        # Python's slices: a negative start counts from the end.
        mask[round(y) : low + 1, round(x) : right + 1] = True
    return mask


def cutout(regions, cut_ratio, size, draws):
    regions, ratios, draws = as_float32(regions), as_float32(cut_ratio), as_float32(draws)
    masks = np.zeros((len(regions), *size), bool)
    for mask, boxes, r_c, positions in zip(masks, regions, ratios, draws):
        for box, (u, v) in zip(boxes, positions):
            cells = touched(box, size)
            if cells:
                left, top, width, height = frame(cells)
                a, b = np.sqrt(r_c) * width, np.sqrt(r_c) * height
                x, y = left + u * (width - a), top + v * (height - b)
                for cell in cells_of(x, y, x + a, y + b, size):
                    mask[cell] = True
    return masks


def blockwise(cut_ratio, size, draws):
    height, width = size
    ratios, values = as_float32(cut_ratio), as_float32(draws)
    aspects = log_uniform(draws[..., 1], 0.3, 1 / 0.3)
    masks = np.zeros((len(ratios), *size), bool)
    for b, mask in enumerate(masks):
        wanted, done, t = ratios[b] * F(height * width), 0, 0
        while done < wanted and t < values.shape[1]:
            added = 0
            for _ in range(10):
                if t == values.shape[1]:
                    break
                missing = wanted - F(done)
                low = F((min(height, width) // 3) ** 2)
                area = low + (missing - low) * values[b, t, 0]
                rows = int(np.round(np.sqrt(area * aspects[b, t])))
                columns = int(np.round(np.sqrt(area / aspects[b, t])))
                v, u = values[b, t, 2:]
                t += 1
                if rows >= height or columns >= width:
                    continue
                top = min(int(v * F(height - rows + 1)), height - rows)
                left = min(int(u * F(width - columns + 1)), width - columns)
                block = mask[top : top + rows, left : left + columns]
                if 0 < block.size - block.sum() <= missing:
                    added = block.size - block.sum()
                    block[:] = True
                    break
            if not added:
                break
            done += added
    return masks


def random_cells(cut_ratio, size, draws):
    masks = np.zeros((len(draws), *size), bool)
    for mask, ratio, values in zip(masks, as_float32(cut_ratio), draws.tolist()):
        number = int(ratio * F(len(values)))
        for cell in sorted(range(len(values)), key=lambda cell: values[cell])[:number]:
            mask[divmod(cell, size[1])] = True
    return masks


def rectangle(area, aspect, size, draws):
    height, width = size
    aspects = log_uniform(draws[:, 1], *aspect)
    masks = np.ones((len(draws), *size), bool)
    for mask, (a, _, u, v), ratio in zip(masks, as_float32(draws), aspects):
        cells = (F(area[0]) + F(area[1] - area[0]) * a) * F(height * width)
        w, h = min(np.sqrt(cells * ratio), F(width)), min(np.sqrt(cells / ratio), F(height))
        x, y = u * (F(width) - w), v * (F(height) - h)
        for cell in cells_of(x, y, x + w, y + h, size):
            mask[cell] = False
    return masks


def seeded(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))

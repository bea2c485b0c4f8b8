"""Every term of every method's assembled loss, -D forms included, against loops over the networks' outputs.

All in float64. The networks themselves are taken as they are: the golden runs compare them with the authors'.
"""
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmdecouple.models.regions import uncut_share

from . import test_leopart, test_maskalign, test_soco
from .conftest import BRANCH, NECK, RESNET, batch, build, densecl
from .golden_models import ibot

LAMBDA = 0.4
D_FORM = {**BRANCH, 'loss_weight': LAMBDA, 'ratio': 0.5, 'mask': {**BRANCH['mask'], 'grid': 2}}


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    """What our code asks for in float32 is double precision here."""
    monkeypatch.setattr(Tensor, 'float', Tensor.double)


def step(config: dict, data: dict) -> tuple:
    """The model before a step whose teacher is not its student, what the batch stages made, and the losses."""
    model = build(config).double().train()
    generator = torch.Generator().manual_seed(3)
    centers = [buffer for name, buffer in model.named_buffers() if 'center' in name]
    for part in [*model.teacher.parameters(), *centers]:
        part.data += 0.1 * torch.randn(part.shape, generator=generator, dtype=part.dtype)
    for sample in data['data_samples'] or ():
        for name in {'boxes', 'geometry'} & set(sample.keys()):
            sample.set_field(getattr(sample, name).double(), name)
    model.data_preprocessor.set_step(seed=0, rank=0, iteration=1)
    prepared = model.data_preprocessor(data, True)
    before = copy.deepcopy(model)
    torch.manual_seed(0)
    return before, prepared, model(**prepared, mode='loss')


def check(losses: dict, expected: dict) -> None:
    """All terms and no others, and the total that the runner steps on."""
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {name: torch.as_tensor(value).item() for name, value in expected.items()}, rel=1e-7)


def decoupled_terms(base: dict, values: list[Tensor], share: float, keep: float = 1 - LAMBDA) -> dict:
    """Weighted base terms, and the branch's from the loss of each decoupled view."""
    mean = sum(values) / len(values)
    return {**{name: keep * value for name, value in base.items()}, 'loss_decoupling': LAMBDA * mean,
            'decoupling': mean, 'foreground_share': share}


def uncut_cells(cut_mask: Tensor) -> tuple[list[list[int]], float]:
    """Uncut cells of each view in row-major order, and their share."""
    cells = [[j for j, cut in enumerate(mask.flatten().tolist()) if not cut] for mask in cut_mask]
    return cells, sum(map(len, cells)) / cut_mask.numel()


def nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    """-log of the positive's share, of vectors that are not yet of unit length."""
    query, key = query / query.norm(), key / key.norm()
    positive = torch.exp(query @ key / temperature)
    return -torch.log(positive / (positive + sum(torch.exp(query @ other / temperature) for other in queue)))


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """-sum_k t_k log softmax(logits)_k."""
    return -(target * (logits - torch.logsumexp(logits, 0))).sum()


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_densecl_are_those_of_loops(branch):
    model, data, losses = step(densecl(dense_weight=0.3, decoupling=branch), batch())
    (query, key), made = data['inputs'], data.get('decoupled')
    student_map = model.backbone(query if made is None else torch.cat([query, made.images]))[-1]
    teacher_map = model.teacher.backbone(key)[-1]
    student, teacher = model.neck((student_map, )), model.teacher.neck((teacher_map, ))
    single, dense = [], []
    for b in range(8):
        single.append(nce(student[0][b], teacher[0][b], model.queue.keys))
        ours, theirs = student_map[b].flatten(1), teacher_map[b].flatten(1)
        for i in range(16):
            similar = [F.cosine_similarity(ours[:, i], theirs[:, j], dim=0).item() for j in range(16)]
            dense.append(nce(student[1][b, :, i], teacher[1][b, :, similar.index(max(similar))],
                             model.dense_queue.keys))
    expected = {'loss_global': 0.7 * sum(single) / len(single), 'loss_dense': 0.3 * sum(dense) / len(dense)}
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        expected = decoupled_terms(expected, [
            sum(nce(student[1][8 + d, :, j], teacher[1][row, :, j], model.dense_queue.keys) for j in cells[d])
            / len(cells[d]) for d, row in enumerate(made.rows.tolist())], share)
    check(losses, expected)


def test_the_terms_of_mocov2_are_those_of_loops():
    model, data, losses = step(dict(
        type='MoCoV2', backbone=RESNET, queue_length=32, channels=16,
        neck=dict(type='mmpretrain.MoCoV2Neck', **{k: v for k, v in NECK.items() if k != 'type'})), batch())
    student, = model.neck((model.backbone(data['inputs'][0])[-1], ))
    teacher, = model.teacher.neck((model.teacher.backbone(data['inputs'][1])[-1], ))
    check(losses, {'loss_global': sum(nce(q, k, model.queue.keys) for q, k in zip(student, teacher)) / 8})


@pytest.mark.parametrize('options', [
    dict(), dict(local_views=2), dict(visible_weight=0.7), dict(decoupling=D_FORM),
    dict(decoupling=D_FORM, local_views=2, visible_weight=0.7),
    dict(decoupling={**D_FORM, 'weighting': 'additive', 'foreground': 'half', 'partner_view': 'other'}),
    dict(mim_mask=dict(type='RegionCollaborativeCutout', cut_ratio=(0.3, 0.6), grid=2))],
    ids=['iBOT', 'multi-crop', '++', '-D', '-D multi-crop ++', '-D release', 'RCC'])
def test_the_terms_of_ibot_are_those_of_loops(options):
    inputs = batch()['inputs'] + batch(pixels=16)['inputs'][:options.get('local_views', 0)]
    model, data, losses = step(ibot(**options), dict(inputs=inputs, data_samples=None))
    model.start_epoch(0)
    views, masks, made = data['inputs'], data['drawn'].mask.unflatten(0, (2, 8)), data.get('decoupled')
    assert masks.any()
    teacher = [model.teacher.backbone(view)[0] for view in views[:2]]
    student = [model.backbone(view, mask)[0] for view, mask in zip(views, masks)]
    student += [model.backbone(view)[0] for view in views[2:]]

    def target(token: Tensor, center: Tensor) -> Tensor:
        return ((model.teacher.neck(token[None])[0] - center) / 0.04).softmax(0)

    def scores(token: Tensor) -> Tensor:
        return model.neck(token[None])[0] / 0.1

    def patches(chosen: Tensor) -> Tensor:
        """Mean over views and images of the mean over the chosen patches."""
        total = 0
        for v in range(2):
            for b in range(8):
                cells = chosen[v, b].flatten().nonzero().flatten().tolist()
                terms = [cross_entropy(target(teacher[v][b, 1 + j], model.patch_center.value),
                                       scores(student[v][b, 1 + j])) for j in cells]
                total = total + sum(terms) / max(len(terms), 1) / 16
        return total

    pairs = [(q, v) for q in range(2) for v in range(len(views)) if q != v]
    classes = [cross_entropy(target(teacher[q][b, 0], model.class_center.value), scores(student[v][b, 0]))
               for q, v in pairs for b in range(8)]
    expected = {'loss_class': sum(classes) / len(classes), 'loss_patch': patches(masks)}
    if 'visible_weight' in options:
        expected['loss_visible'] = 0.7 * patches(~masks)
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        tokens = model.backbone(made.images)[0]
        values = []
        for d, row in enumerate(made.rows.tolist()):
            terms = [cross_entropy(target(teacher[row // 8][row % 8, 1 + j], model.patch_center.value),
                                   scores(tokens[d, 1 + j])) for j in cells[d]]
            values.append(sum(terms) / max(len(terms), 1))
        additive = options['decoupling'].get('weighting') == 'additive'
        expected = decoupled_terms(expected, values, share, 1 if additive else 1 - LAMBDA)
    check(losses, expected)


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_maskalign_are_those_of_loops(branch):
    model, data, losses = step(test_maskalign.maskalign(decoupling=branch), batch(views=1))
    view, made = data['inputs'][0], data.get('decoupled')
    blocks = model.teacher.backbone.blocks(model.teacher.backbone.tokens(
        view * model.teacher.scale + model.teacher.shift)[0])[-2:]
    targets = [(block - block.mean(2, keepdim=True)) / (block.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
               for block in blocks]
    torch.manual_seed(0)
    visible = model.draw_visible(model.teacher(view)[1])

    def outputs(images: Tensor, seen: Tensor) -> list[Tensor]:
        """Projected levels of the class token and the seen patches of each view."""
        tokens = model.backbone.tokens(images)[0]
        tokens = torch.stack([row[[0, *(1 + j for j in kept)]] for row, kept in zip(tokens, seen.tolist())])
        made = model.backbone.blocks(tokens)
        return [head(sum(w * block for w, block in zip(weights, made)))
                for weights, head in zip(model.neck.weights, model.neck.heads)]

    def smooth(difference: Tensor) -> Tensor:
        size = difference.abs()
        return 2 * torch.where(size < 1, size**2 / 2, size - 0.5).mean()

    found = outputs(view, visible)
    terms = [smooth(found[level][b, t] - targets[level][b, token]) for level in range(2) for b in range(8)
             for t, token in enumerate([0, *(1 + j for j in visible[b].tolist())])]
    expected = {'loss_align': sum(terms) / len(terms)}
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        found = outputs(made.images, torch.arange(16).expand(len(made.rows), 16))
        expected = decoupled_terms(expected, [
            sum(smooth(found[level][d, 1 + j] - targets[level][row, 1 + j]) for level in range(2) for j in cells[d])
            / 2 / len(cells[d]) for d, row in enumerate(made.rows.tolist())], share)
    check(losses, expected)


def matched(prediction: Tensor, projection: Tensor, ids: Tensor, other: Tensor) -> Tensor:
    """-2 times the mean over images of the mean cosine of boxes with one id."""
    images = []
    for p, z, own, theirs in zip(prediction, projection, ids.tolist(), other.tolist()):
        cosines = [F.cosine_similarity(p[i], z[j], dim=0) for i, a in enumerate(own) for j, b in enumerate(theirs)
                   if a == b]
        images.append(sum(cosines) / (len(cosines) + 1e-6))
    return -2 * sum(images) / len(images)


def crosswise(samples: list) -> None:
    """Let every image have ids of its own, of which some are in both views, some twice."""
    for n, sample in enumerate(samples):
        sample.box_ids = torch.tensor([[1, 2, 3, 1], [3, 1, 2, 2]]).roll(n, 1)


RCC = dict(type='CutViews', views=(1, ), mask_stride=16, on_regions=True, mask=BRANCH['mask'])


@pytest.mark.parametrize('options', [dict(), dict(decoupling=D_FORM), dict(
    decoupling=D_FORM, data_preprocessor=dict(batch_stages=[RCC])), dict(data_preprocessor=dict(batch_stages=[RCC]))],
    ids=['SoCo', '-D', '-D with RCC', 'RCC'])
def test_the_terms_of_soco_are_those_of_loops(options):
    batch_of = test_soco.data()
    crosswise(batch_of['data_samples'])
    model, data, losses = step(test_soco.soco(**options), batch_of)
    views, drawn, made = data['inputs'], data['drawn'], data.get('decoupled')
    boxes, ids = ([part[index] for part in drawn] for index in range(2))

    def predicted(*arguments: Tensor) -> Tensor:
        projection = model.encode(model.backbone, model.neck, *arguments)
        return model.predictor((projection.flatten(0, 1), ))[0].unflatten(0, projection.shape[:2])

    first = predicted(views[0], boxes[0]) if made is None else predicted(
        torch.cat([views[0], made.images]), torch.cat([boxes[0], boxes[0][made.rows]]), made.cut_mask)
    student = [first[:8], predicted(views[1], boxes[1])]
    teacher = [model.encode(model.teacher.backbone, model.teacher.neck, view, box) for view, box in zip(views, boxes)]
    expected = {'loss_12': matched(student[0], teacher[1], ids[0], ids[1]),
                'loss_21': matched(student[1], teacher[0], ids[1], ids[0])}
    assert abs(expected['loss_12'] - expected['loss_21']) > 1e-3
    if made is not None:
        values, kept = [], 0
        for d, row in enumerate(made.rows.tolist()):
            left = uncut_share(made.cut_mask[d:d + 1], boxes[0][row:row + 1], 7).mean((2, 3))[0]
            own = ids[0][row].tolist()
            counted = [k for k in range(4) if own[k] not in own[:k] and left[k] > 1e-3]
            terms = [-4 * F.cosine_similarity(first[8 + d, k], teacher[0][row, k], dim=0) for k in counted]
            values.append(sum(terms) / max(len(terms), 1))
            kept += len(counted)
        expected = decoupled_terms(expected, values, kept / 4 / len(values))
    check(losses, expected)


def test_the_terms_of_soco_on_a_pyramid_are_those_of_loops():
    batch_of = test_soco.fpn_data()
    for n, sample in enumerate(batch_of['data_samples']):
        sample.box_ids = torch.tensor([[[1, 2, 3, 1], [3, 1, 2, 2]], [[4, 5, 6, 4], [6, 6, 4, 5]]]).roll(n, 2)
        # One box of each view is too large for any level.
        for place in ((0, 0, (n + 1) % 4), (0, 1, (n + 2) % 4), (1, 1, n % 4)):
            sample.boxes[place] = torch.tensor([0., 0, 1, 1])
    config = test_soco.soco_fpn()
    config['neck']['limits'] = (10, 20, 26, 30)
    model, data, losses = step(config, batch_of)
    student, teacher = [], []
    for view, regions in zip(data['inputs'], data['drawn']):
        for network, found in ((model, student), (model.teacher, teacher)):
            found.append(model.encode(network.backbone, network.neck, view, regions.boxes))
        rows = model.predictor((student[-1].flatten(0, 1), ))[0]
        student[-1] = rows.unflatten(0, regions.ids.shape)
    ids = [regions.ids.clone() for regions in data['drawn']]
    for v, (view, regions) in enumerate(zip(data['inputs'], data['drawn'])):
        side = ((regions.boxes[..., 2:] - regions.boxes[..., :2]) * view.shape[-1] + 1e-3).floor().prod(-1).sqrt()
        assert (side > 30).any() and (side <= 30).any()
        # A box without a level meets nobody.
        ids[v][side > 30] = -1 - v
    expected = {}
    for pair, other in ((0, 1), (1, 2)):
        mine = slice(4 * pair, 4 * pair + 4)
        expected[f'loss_1{other + 1}'] = matched(student[0][:, mine], teacher[other], ids[0][:, mine], ids[other])
        expected[f'loss_{other + 1}1'] = matched(student[other], teacher[0][:, mine], ids[other], ids[0][:, mine])
    assert len({round(value.item(), 6) for value in expected.values()}) == 4
    check(losses, expected)


@pytest.mark.parametrize('branch', [None, D_FORM])
def test_the_terms_of_leopart_are_those_of_loops(branch):
    model, data, losses = step(test_leopart.leopart(decoupling=branch, queue_length=16), test_leopart.data())
    views, made = data['inputs'], data.get('decoupled')
    teacher = model.teach(views, data['drawn'])
    scores = [model.neck(model.backbone(view)[0][:, 1:]) for view in views]
    maps = [score.transpose(1, 2).unflatten(2, (int(score.shape[1]**0.5), ) * 2) for score in scores]
    assignments = teacher['dense'].transpose(1, 2).unflatten(2, maps[0].shape[-2:]).chunk(2)
    masks = teacher['mask'][:, None].chunk(2)
    geometry = data['drawn']
    pairs = [model._pair_loss(maps[v], assignments[j], masks[j], geometry[v], geometry[j])
             for j in range(2) for v in range(4) if v != j]
    expected = {'loss_cluster': sum(pairs) / 6}
    attended = teacher['mask'].flatten(1)
    if made is not None:
        cells, share = uncut_cells(made.cut_mask)
        student = model.neck(model.backbone(made.images)[0][:, 1:])
        by_view = [[], []]
        for d, row in enumerate(made.rows.tolist()):
            by_view[row // 8] += [cross_entropy(teacher['dense'][row, j], student[d, j] / 0.1) for j in cells[d]
                                  if attended[row, j]]
        expected = decoupled_terms(expected, [sum(terms) / max(len(terms), 1) for terms in by_view], share)
    check(losses, {**expected, 'attended_share': attended.mean()})

"""Methods from outside: the code of docs/add_a_method.md, run from the page, gets its variants from configuration."""

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdecouple.registry import MODELS
from mmdecouple.utils.configs import load_config

from .conftest import BRANCH, RESNET, batch, begun, build, densecl, forwarded, losses_of

PAGE = Path(__file__).parents[2] / 'docs' / 'add_a_method.md'
CUT = dict(type='CutViews', mask=BRANCH['mask'], views=(0, 1), mask_stride=8)
BYOL = dict(type='MyDenseBYOL', backbone=RESNET)
PIXPRO = dict(type='MyPixPro', backbone=RESNET, predictor=dict(type='PixelPropagation', channels=32))
# Crop windows x, y, w, h and flip of both views of an image of 200 x 200 pixels: they overlap in part.
WINDOWS = [(10.0, 20.0, 120.0, 100.0, 0.0), (60.0, 40.0, 100.0, 120.0, 1.0)]


@pytest.fixture(scope='module', autouse=True)
def page(tmp_path_factory) -> Path:
    """A folder with the files of the page, its methods imported."""
    folder = tmp_path_factory.mktemp('page')
    for code in re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL):
        name = re.match(r'# (\w+\.py)', code)[1]
        (folder / name).write_text(code)
    sys.path.insert(0, str(folder))
    for name in ('my_method', 'my_pixpro', 'my_term'):
        importlib.import_module(name)
    yield folder
    sys.path.remove(str(folder))
    for name in ('MyDenseBYOL', 'MyPixPro', 'PixelPropagation', 'MyGram'):
        MODELS.module_dict.pop(name)


def crops(size: int = 8) -> dict:
    """A batch of two views with the crop windows from above, moved a little from image to image."""
    geometry = torch.tensor([[*window, 200.0, 200.0] for window in WINDOWS])
    samples = [BaseDataElement(geometry=geometry + torch.tensor([n, -n, 0, 0, 0, 0, 0.0])) for n in range(size)]
    return {**batch(size), 'data_samples': samples}


def test_the_page_names_its_files_and_each_is_short(page):
    lengths = {path.name: len(path.read_text().splitlines()) for path in page.glob('*.py')}
    names = ('my_method', 'my_config', 'my_pixpro', 'my_pixpro_config', 'my_term', 'my_term_config')
    assert set(lengths) == {f'{name}.py' for name in names}
    assert max(lengths.values()) <= 60


@pytest.mark.parametrize('name', ['my_config', 'my_pixpro_config'])
def test_the_configs_of_the_page_build_and_are_decoupled_by_one_base(page, name):
    child = page / f'{name}_d.py'
    child.write_text(
        f"_base_ = ['./{name}.py', 'mmdecouple::_base_/decoupling/paper.py']\n"
        'model = dict(decoupling=_base_.decoupling)\n'
    )
    for path in (page / f'{name}.py', child):
        config = load_config(str(path))
        config.model.backbone.depth = 18
        model = MODELS.build(config.model)
        assert (model.decoupling is None) == (path != child)
    assert any(transform.type == 'PackViews' for transform in config.train_dataloader.dataset.pipeline)


@pytest.mark.parametrize('config, data, term', [(BYOL, batch(), 'loss_byol'), (PIXPRO, crops(), 'loss_pixpro')])
def test_a_method_of_the_page_is_decoupled_by_one_config_key_and_trains(config, data, term):
    model = build({**config, 'decoupling': BRANCH, 'teacher': dict(momentum=1.0)}).train()
    assert len(begun(model, data).decoupled.images) == 2
    optimizer, values = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3), []
    for _ in range(15):
        losses = losses_of(model, data)
        assert set(losses) == {term, 'loss_decoupling', 'decoupling', 'foreground_share'}
        optimizer.zero_grad()
        total = sum(value for name, value in losses.items() if name.startswith('loss'))
        total.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimizer.step()
        values.append(total.item())
    assert values[-1] < values[0] - 0.1


def test_a_method_of_the_page_gets_its_rcc_variant_by_one_batch_stage(data):
    plain, cut = build(BYOL).train(), build({**BYOL, 'data_preprocessor': dict(batch_stages=[CUT])}).train()
    views = cut.data_preprocessor(data, True)['inputs']
    assert all(0.2 < (view == 0).all(1).float().mean() < 0.7 for view in views)
    assert losses_of(plain, data)['loss_byol'] != losses_of(cut, data)['loss_byol']
    assert torch.isfinite(losses_of(cut, data)['loss_byol'])


def centers_by_hand(window: torch.Tensor) -> list[tuple[float, float]]:
    """Centers of 4 x 4 positions of a view in source pixels."""
    x, y, width, height, flip = window[:5].tolist()
    return [
        (x + width * ((3.5 - column if flip else column + 0.5) / 4), y + height * (row + 0.5) / 4)
        for row in range(4)
        for column in range(4)
    ]


def test_the_geometry_of_a_step_is_where_its_positions_are_in_the_source():
    model = build(PIXPRO).train()
    step = forwarded(model, begun(model, crops()))
    student, teacher = (outputs['dense'].unflatten(0, (2, 8)) for outputs in (step.student, step.teacher))
    means = []
    for own, other in ((0, 1), (1, 0)):
        for b in range(8):
            windows = step.samples[b].geometry
            diagonal = max((w**2 + h**2) ** 0.5 for w, h in windows[:, 2:4].tolist()) / 4
            places = [centers_by_hand(windows[view]) for view in (own, other)]
            terms = [
                F.cosine_similarity(student[own, b, i], teacher[own, b, j], dim=0).item()
                for i, (x, y) in enumerate(places[0])
                for j, (u, v) in enumerate(places[1])
                if ((x - u) ** 2 + (y - v) ** 2) ** 0.5 < 0.7 * diagonal
            ]
            assert 4 < len(terms) < 128
            means.append(sum(terms) / len(terms))
    assert model.base_loss(step)['loss_pixpro'].item() == pytest.approx(-2 * sum(means) / 16, rel=1e-4)


def test_the_predictor_is_the_students_alone_and_sees_the_decoupled_views():
    model = build({**PIXPRO, 'decoupling': BRANCH}).train()
    assert not any(name.startswith('teacher.') and 'transform' in name for name in model.state_dict())
    seen = []
    model.predictor.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    losses_of(model, crops())
    assert seen == [16 + 2]


def test_the_term_of_the_page_is_the_one_of_the_package_for_the_teacher_that_it_copies(page, data):
    config = load_config(str(page / 'my_term_config.py'))
    assert config.model.terms == [dict(type='MyGram', weight=0.5, start_epoch=10)] and 'decoupling' in config.model
    terms = [dict(type=name, weight=0.5) for name in ('MyGram', 'GramAnchoring')]
    # In evaluation mode, as the term of the package always is, batch norm makes no difference.
    model = build(densecl(terms=terms, decoupling=BRANCH)).eval()
    with torch.no_grad():
        model.backbone.layer1[0].conv1.weight.mul_(1.5)
    losses = losses_of(model, data)
    assert losses['loss_my_gram'].item() == pytest.approx(losses['loss_gram'].item(), rel=1e-5) != 0


def test_samples_without_geometry_get_one_line(data):
    with pytest.raises(ValueError, match='MyPixPro: the samples have no geometry; end the pipeline with PackViews'):
        losses_of(build(PIXPRO), data)

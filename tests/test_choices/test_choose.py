"""Choices follow the published recipes, the data and the machine, and state what an override replaces."""

import json
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mmdecouple.choices.choose import Chosen, Request, choose
from mmdecouple.choices.data import name_of
from mmdecouple.choices.machine import Machine, power_of_two
from mmdecouple.choices.recipes import METHODS, RECIPES, VARIANTS, find_method
from mmdecouple.choices.record import read_record, write_record
from mmdecouple.choices.timing import OutOfMemory, Speed
from mmdecouple.configuration import check_config
from mmdecouple.utils.configs import configs_folder, load_config
from mmdecouple.utils.data_spec import PICTURES, DataSpec, read_spec
from mmdecouple.utils.errors import UserError

CPU = Machine('cpu', 'CPU', cores=2)
RTX = Machine('cuda', 'RTX 3090', cores=8, memory=23.7, gpus=1)
COCO = 118287


@pytest.fixture
def folder(tmp_path):
    """Folder with 40 small photos."""
    rng = np.random.default_rng(0)
    (tmp_path / 'my photos').mkdir()
    for index in range(40):
        image = rng.integers(0, 255, (80, 100, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / 'my photos' / f'{index}.jpg'), image)
    return tmp_path / 'my photos'


@pytest.fixture
def as_many_as_coco(monkeypatch):
    monkeypatch.setattr('mmdecouple.choices.choose.count_images', lambda config: COCO)


def chosen(method: str, machine: Machine, step: float = 0.1, data='absent', weights=None, **settings) -> Chosen:
    needs = find_method(method).recipe.weights is not None
    request = Request(
        find_method(method), DataSpec('folder', str(data)), weights or ('teacher.pth' if needs else None), **settings
    )
    return choose(request, machine, lambda config: Speed(step, 5.0, 10))


def value(result: Chosen, name: str) -> str:
    return next(choice.value for choice in result.choices if choice.name == name)


@pytest.mark.parametrize('method', [f'{name}-d' for name in RECIPES])
def test_every_method_has_the_published_learning_rate_per_image_on_a_gpu(method, as_many_as_coco):
    config = chosen(method, RTX).config
    published = find_method(method).config(small=False)[1]
    base = published.auto_scale_lr.base_batch_size
    batch = config.train_dataloader.batch_size
    assert batch == published.train_dataloader.batch_size
    rate = published.optim_wrapper.optimizer.lr * batch / base
    assert math.isclose(config.optim_wrapper.optimizer.lr, rate, rel_tol=1e-3)
    assert config.model.get('queue_length') == published.model.get('queue_length')
    views = [
        step for step in config.train_dataloader.dataset.pipeline if step.type not in ('GridProposals', 'LoadProposals')
    ]
    assert views == [step for step in published.train_dataloader.dataset.pipeline if step.type != 'LoadProposals']
    check_config(config)


@pytest.mark.parametrize('method', RECIPES)
def test_the_whole_published_batch_gives_the_published_recipe(method, as_many_as_coco):
    """A card with the memory of all published GPUs, and time for the published epochs."""
    recipe, (_, published) = find_method(method).recipe, find_method(method).config(small=False)
    config = chosen(method, replace(RTX, memory=24 * 16), epochs=published.train_cfg.max_epochs).config
    if recipe.weights:
        published.merge_from_dict({recipe.weights: 'teacher.pth'})
    assert config.model == published.model
    assert config.optim_wrapper == published.optim_wrapper
    assert config.auto_scale_lr.base_batch_size == published.auto_scale_lr.base_batch_size
    assert [
        {key: value for key, value in schedule.items() if key != 'convert_to_iter_based'}
        for schedule in config.param_scheduler
    ] == [
        {key: value for key, value in schedule.items() if key != 'convert_to_iter_based'}
        for schedule in published.param_scheduler
    ]


@pytest.mark.parametrize('small', [True, False])
@pytest.mark.parametrize('method', RECIPES)
def test_a_control_is_the_shipped_control_where_there_is_one(method, small):
    name, config = find_method(f'{method}-control').config(small)
    path = configs_folder() / f'{name.replace("-d_", "-control_")}.py'
    if path.is_file():
        assert config.model == load_config(str(path)).model
    assert config.model.decoupling.background == 'none'
    assert find_method(f'{method}-d').config(small)[1].model.decoupling.background != 'none'
    assert 'decoupling' not in find_method(method).config(small)[1].model


def test_equal_requests_give_equal_configs_and_another_machine_another_batch(folder):
    first, again = (chosen('ibot-d', CPU, data=folder) for _ in range(2))
    assert first.config.pretty_text == again.config.pretty_text and first.choices == again.choices
    other = chosen('ibot-d', replace(CPU, cores=16), data=folder)
    assert first.name == 'ibot-d_vit-demo_my-photos' and value(first, 'batch size') == '8' == value(other, 'batch size')
    assert value(other, 'loader processes') == '8'


def test_a_batch_is_never_larger_than_the_data_and_the_rate_follows(tmp_path, folder):
    for path in sorted(folder.iterdir())[3:]:
        path.unlink()
    config = chosen('ibot', CPU, data=folder).config
    assert config.train_dataloader.batch_size == 2
    assert math.isclose(config.optim_wrapper.optimizer.lr, 1e-3 * 2 / 32, rel_tol=1e-3)
    for path in sorted(folder.iterdir())[1:]:
        path.unlink()
    with pytest.raises(UserError, match='1 image is too few'):
        chosen('ibot', CPU, data=folder)
    next(folder.iterdir()).unlink()
    with pytest.raises(UserError, match='no image'):
        chosen('ibot', CPU, data=folder)


@pytest.mark.parametrize('step', [0.01, 0.1, 2.0])
def test_the_length_fits_into_the_minutes(step, as_many_as_coco):
    steps = COCO // 64
    result = chosen('ibot', RTX, step, minutes=600)
    epochs = result.config.train_cfg.max_epochs
    assert epochs * steps * step <= 600 * 60 < (epochs + 1) * steps * step or epochs == 800
    assert math.isclose(result.seconds, epochs * steps * step + 5)
    with pytest.raises(UserError, match='one epoch of 118287 images takes about .* more than --minutes 0.1'):
        chosen('ibot', RTX, step, minutes=0.1)


def test_schedules_and_warm_ups_keep_their_share_of_the_length(as_many_as_coco):
    config = chosen('ibot', RTX, epochs=20).config
    assert [schedule.convert_to_iter_based for schedule in config.param_scheduler] == [True, True]
    assert config.param_scheduler[0].warmup == 1 and config.model.warmup_epochs == 8
    config = chosen('densecl', CPU, epochs=4).config
    total = 4 * (COCO // 64)
    assert [(schedule.begin, schedule.end) for schedule in config.param_scheduler] == [
        (0, total // 8),
        (total // 8, total),
    ]


def test_overrides_replace_choices_and_later_choices_follow_them(folder):
    result = chosen(
        'ibot-d', CPU, data=folder, options={'train_dataloader.batch_size': 16, 'model.decoupling.loss_weight': 0.5}
    )
    assert math.isclose(result.config.optim_wrapper.optimizer.lr, 1e-3 / 2, rel_tol=1e-3)
    assert result.config.model.decoupling.loss_weight == 0.5
    assert ('batch size', '16', '--cfg-options') in result.choices
    result = chosen('ibot-d', CPU, data=folder, options={'optim_wrapper.optimizer.lr': 0.1, 'train_cfg.max_epochs': 3})
    assert result.config.optim_wrapper.optimizer.lr == 0.1 and result.config.train_cfg.max_epochs == 3
    config = chosen('ibot', CPU, data=folder, epochs=2, options={'param_scheduler': None}).config
    assert config.param_scheduler is None and config.train_cfg.max_epochs == 2
    for wrong in (
        {'train_dataloader.batch_size': 'x'},
        {'train_cfg.max_epochs': 0},
        {'train_dataloader.num_workers': -1},
    ):
        with pytest.raises(UserError, match=f'{next(iter(wrong))} must be'):
            chosen('ibot', CPU, data=folder, options=wrong)
    with pytest.raises(UserError, match='model.decupling'):
        chosen('ibot-d', CPU, data=folder, options={'model.decupling.loss_weight': 0.5})


def test_a_batch_that_does_not_fit_into_the_memory_is_halved(as_many_as_coco):
    tried = []

    def measure(config):
        tried.append((config.train_dataloader.batch_size, config.optim_wrapper.optimizer.lr))
        if len(tried) < 3:
            raise OutOfMemory
        return Speed(0.1, 5.0, 10)

    request = Request(find_method('ibot'), DataSpec('folder', 'absent'))
    result = choose(request, RTX, measure)
    assert [batch for batch, _ in tried] == [64, 32, 16] and len({lr / batch for batch, lr in tried}) == 1
    assert [choice.value for choice in result.choices if choice.name == 'batch size'] == ['16']
    assert result.config.auto_scale_lr.base_batch_size == 16
    with pytest.raises(UserError, match='memory of the device does not suffice for a batch of 64'):
        tried.clear()
        choose(replace(request, options={'train_dataloader.batch_size': 64}), RTX, measure)


@pytest.mark.parametrize(
    'given, message',
    [('ibott-d', 'close names: ibot-d'), ('IBOT_E', 'close names: ibot'), ('supervised', 'methods: densecl, ibot')],
)
def test_an_unknown_method_is_answered_with_near_names(given, message):
    with pytest.raises(UserError, match=message):
        find_method(given)
    assert find_method('iBOT_D').name == 'ibot-d' and len(METHODS) == len(RECIPES) * len(VARIANTS)


@pytest.mark.parametrize('method, role', [('maskalign-d', 'frozen teacher'), ('leopart', 'pre-trained weights')])
def test_a_method_without_its_weights_names_the_option(method, role):
    request = Request(find_method(method), DataSpec('folder', 'absent'))
    with pytest.raises(UserError, match=f'{role}: name its run folder or weight file \\(--weights\\)'):
        choose(request, CPU, lambda config: Speed(1, 1, 1))
    with pytest.raises(UserError, match='omit --weights'):
        chosen('ibot', CPU, weights='a.pth')


def test_each_kind_of_data_is_read_and_measured_where_it_can_be(folder, coco128, tmp_path):
    listing = tmp_path / 'names.txt'
    listing.write_text('\n'.join(path.name for path in sorted(folder.iterdir())[:16]))
    listed = len(json.loads((coco128 / 'annotations' / 'instances_train2017.json').read_text())['images'])
    specs = {f'list:{listing}:{folder}': 16, f'coco128:{coco128}': listed, f'coco:{coco128}': listed, 'scenes': 1280}
    for text, images in specs.items():
        data = read_spec(text, PICTURES)
        result = choose(Request(find_method('ibot'), data), CPU, lambda config: Speed(1, 1, 1))
        assert value(result, 'images') == str(images) and name_of(data) in result.name
        assert ('test_dataloader' in result.config) == (data.kind != 'list')


def test_a_folder_continues_with_the_recorded_choices_of_the_same_command(folder, tmp_path):
    out = tmp_path / 'run'
    request = Request(
        find_method('ibot-d'), DataSpec('folder', str(folder)), minutes=3.0, options={'log_level': 'INFO'}
    )
    assert read_record(out, request) is None
    record = write_record(out, request, choose(request, CPU, lambda config: Speed(0.5, 5.0, 10)))
    again = read_record(out, request)
    assert (again.config, again.choices, again.seconds) == (record.config, record.choices, record.seconds)
    config = load_config(str(record.config))
    check_config(config)
    (tmp_path / 'child.py').write_text(f'_base_ = {str(record.config)!r}\ntrain_cfg = dict(max_epochs=7)\n')
    assert load_config(str(tmp_path / 'child.py')).train_cfg.max_epochs == 7 and 'work_dir' not in config
    with pytest.raises(UserError, match=r'another --minutes \(3.0, now 4.0\)'):
        read_record(out, replace(request, minutes=4.0))
    (out / 'chosen' / 'choices.json').write_text('{')
    with pytest.raises(UserError, match='is damaged'):
        read_record(out, request)


def test_the_largest_power_of_two_forgives_what_a_driver_keeps():
    assert [power_of_two(value) for value in (0.2, 0.99, 1, 1.9, 1.95, 5.8)] == [0.125, 1, 1, 1, 2, 4]

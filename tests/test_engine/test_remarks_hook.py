"""Remarks of the pipelines reach the log once an epoch, over all processes."""

import logging
from types import SimpleNamespace

import pytest
from mmengine.structures import BaseDataElement

from mmdecouple.engine.hooks import RemarksHook


def batch(*remarks):
    return dict(data_samples=[BaseDataElement(metainfo=dict(remarks=some)) for some in remarks])


@pytest.fixture
def runner():
    return SimpleNamespace(logger=logging.getLogger('remarks'))


def lines(caplog):
    found = [(record.levelname, record.message.partition('.')[0]) for record in caplog.records]
    caplog.clear()
    return found


def test_each_epoch_counts_its_own_remarks_by_image(runner, caplog):
    caplog.set_level(logging.INFO, 'remarks')
    hook = RemarksHook(max_share=0.5)
    hook.before_train_iter(runner, 0, batch((), ('no overlap', 'no overlap'), ()))
    hook.before_train_iter(runner, 1, batch(('no proposal',), ('no proposal', 'no overlap'), ('no proposal',)))
    hook.after_train_epoch(runner)
    assert lines(caplog) == [
        ('INFO', '2 of 6 images in this epoch: no overlap'),
        ('INFO', '3 of 6 images in this epoch: no proposal'),
    ]
    hook.before_train_iter(runner, 0, batch(('no proposal',), ()))
    hook.before_train_iter(runner, 1, batch(('no proposal',)))
    hook.after_train_epoch(runner)
    assert lines(caplog) == [('WARNING', '2 of 3 images in this epoch: no proposal')]


def test_samples_without_remarks_leave_the_log_alone(runner, caplog):
    caplog.set_level(logging.INFO, 'remarks')
    hook = RemarksHook()
    for data in (dict(data_samples=[BaseDataElement()]), dict(inputs=1), [1], batch((), ())):
        hook.before_train_iter(runner, 0, data)
    hook.after_train_epoch(runner)
    assert lines(caplog) == []


def test_counts_of_all_processes_are_added(runner, caplog, monkeypatch):
    caplog.set_level(logging.INFO, 'remarks')
    monkeypatch.setattr('mmdecouple.engine.hooks.remarks_hook.all_gather_object', lambda mine: [mine, mine])
    hook = RemarksHook(max_share=1.0)
    hook.before_train_iter(runner, 0, batch(('no proposal',), ()))
    hook.after_train_epoch(runner)
    assert lines(caplog) == [('INFO', '2 of 4 images in this epoch: no proposal')]


def test_a_share_out_of_range_is_named():
    with pytest.raises(ValueError, match='max_share'):
        RemarksHook(max_share=2)

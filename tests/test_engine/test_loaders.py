"""Loaders without worker processes."""

import pytest

from mmdecouple.engine.loaders import seeded_loader
from mmdecouple.utils.configs import load_config

LOADER = dict(
    batch_size=2,
    persistent_workers=True,
    prefetch_factor=4,
    multiprocessing_context='fork',
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
)


@pytest.mark.parametrize('workers', [dict(num_workers=0), {}])
def test_no_workers_is_one_setting_whatever_else_the_config_sets_for_them(workers, tmp_path):
    loader = seeded_loader(dict(LOADER, dataset=list(range(6)), **workers))
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4, 5]] and not loader.persistent_workers
    (tmp_path / 'a.py').write_text(f'train_dataloader = dict({LOADER!r}, num_workers=2)\n')
    found = load_config(str(tmp_path / 'a.py'), {'train_dataloader.num_workers': 0}).train_dataloader
    assert not {'persistent_workers', 'prefetch_factor', 'multiprocessing_context'} & set(found)
    assert load_config(str(tmp_path / 'a.py')).train_dataloader.prefetch_factor == 4

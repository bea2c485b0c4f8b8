import pytest

from mmdecouple.ablation import read_table, table_names
from mmdecouple.ablation.resolve import resolve
from mmdecouple.ablation.row_configs import config_texts
from mmdecouple.utils.configs import configs_folder, load_config

from .tables import write_table

FULL = [name for name in table_names() if any('full' in row.bases for row in read_table(name).rows)]


def test_a_written_config_is_its_base_with_the_overrides(tmp_path):
    options = (
        '{train_cfg.max_epochs: 20}',
        '{train_cfg.max_epochs: 20, param_scheduler.0.begin: 2, '
        'train_dataloader.dataset.pipeline.0.views.0.0.scale: [0.5, 1.0]}',
    )
    table = read_table(write_table(tmp_path, options))
    texts = config_texts(table)
    assert list(texts) == [
        f'small_densecl_{row}_{setting}.py' for row in ('base', 'd') for setting in ('plain', 'long')
    ]
    folder = configs_folder() / 'ablations' / 'small'
    for name, text in texts.items():
        assert "_base_ = ['../../densecl/densecl" in text
        assert 'Written by `tools/ablate.py small' in text.replace('\n#', '')
        file = tmp_path / name
        file.write_text(text.replace("'../..", f"'{folder.parents[1]}"))
        row = table.row('DenseCL/D' if '_d_' in name else 'DenseCL/base')
        wanted = resolve(row, name.removesuffix('.py').split('_')[-1], 'full')
        assert load_config(str(file)).to_dict() == wanted.to_dict()
    assert 'Published: OKNN 74.5, CR inter 1.1.' in texts['small_densecl_d_plain.py']
    assert max(len(line) for text in texts.values() for line in text.splitlines() if line.startswith('#')) <= 120


@pytest.mark.parametrize('name', FULL)
def test_the_written_configs_are_those_of_the_table(name):
    folder = configs_folder() / 'ablations' / name
    written = {path.name: path.read_text() for path in folder.glob('*.py')}
    assert written == config_texts(read_table(name)), f'run tools/ablate.py {name} --write-configs'

"""Weight file and test config of a trained network from a specification, without building the network."""

from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmdecouple.runs.contents import newest_checkpoint, recorded_config
from mmdecouple.runs.launch import cores
from mmdecouple.utils.configs import SCOPE, apply_overrides, load_config
from mmdecouple.utils.errors import MissingFile, UserError
from mmdecouple.weights.checkpoint import read_checkpoint

_FORMS = 'name a run folder, a checkpoint or CONFIG.py=FILE'


def weight_file(spec: str) -> Path:
    """Returns the file that holds the weights of a network.

    Args:
        spec: See `open_network`; `timm:NAME=FILE` and `CONFIG.py=FILE` give their file.

    Raises:
        MissingFile: The file or folder does not exist, or the run folder has no checkpoint.
        UserError: The network is untrained.
    """
    if Path(spec).is_dir():
        return newest_checkpoint(Path(spec))
    if spec.startswith(('timm:', 'untrained:')) or '.py=' in spec or spec.endswith('.py'):
        kind, _, file = spec.partition('=')
        if not file or kind.startswith('untrained:'):
            raise UserError(f'{spec} is an untrained network; {_FORMS}.')
        return _existing(Path(file))
    return _existing(Path(spec))


def test_config(spec: str, path: Path, options: dict[str, Any], allow_pickle: bool = False) -> Config:
    """Returns the config with which a trained network is tested.

    Args:
        spec: Specification of the network.
        path: Result of `weight_file`.
        options: Overrides of the config with dotted keys.
        allow_pickle: Whether to trust the file, see `recorded_config`.

    Returns:
        The config of `CONFIG.py=FILE`. Otherwise network and probes of the recorded config, which are plain values,
        with the runner, loader and evaluator of the configs of this package.

    Raises:
        UserError: No config or no probes are recorded, the config is invalid, or an override does not fit.
    """
    name, separator, _ = spec.partition('.py=')
    if separator:
        return load_config(f'{name}.py', options)
    found = None
    if not spec.startswith('timm:'):
        found = recorded_config(path, read_checkpoint(str(path), allow_pickle=allow_pickle, mmap=True), allow_pickle)
    if found is None or 'test_dataloader' not in found:
        lack = 'with which config it was trained' if found is None else 'what it is tested with (a ProbeDataset)'
        raise UserError(f'{spec} does not state {lack}; name a config: CONFIG.py={path}.')
    config = load_config(f'{SCOPE}::_base_/default_runtime.py')
    data = load_config(f'{SCOPE}::_base_/datasets/coco.py')
    data.test_dataloader.update(num_workers=min(cores(), 8), dataset=found.test_dataloader.dataset)
    config.update(model=found.model, **{key: data[key] for key in ('test_dataloader', 'test_evaluator', 'test_cfg')})
    apply_overrides(config, options)
    return Config(config.to_dict(), cfg_text=config.pretty_text, filename=found.filename)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise MissingFile(f'checkpoint {path} does not exist; {_FORMS}.')
    return path

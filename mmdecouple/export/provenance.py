"""Facts about exported weights, as far as their file records them, and the model card that states them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdecouple.utils.digests import digest_of_file
from mmdecouple.version import __version__
from mmdecouple.weights.source import recorded_method

_RECORDED = ('images', 'seed', 'torch')


def provenance(content: Mapping[str, Any], file: Path | None, architecture: str, role: str | None) -> dict[str, str]:
    """Returns facts about weights by name; facts that the file does not record are absent.

    Args:
        content: Content of the weight file.
        file: The file; None for random weights.
        architecture: Description such as `ResNet-50`.
        role: Role of the network, `teacher` or `student`; None for a network without a role.
    """
    facts = dict(architecture=architecture)
    if role is not None:
        facts['network'] = role
    meta = content.get('meta')
    meta = meta if isinstance(meta, dict) else {}
    method = recorded_method(str(meta.get('cfg', '')))
    if method is not None:
        facts['method'] = method
    for name, key in (('config', 'experiment_name'), ('epochs', 'epoch'), ('iterations', 'iter')):
        if meta.get(key):
            facts[name] = str(meta[key])
    record = meta.get('record')
    record = record if isinstance(record, dict) else {}
    if record.get('data'):
        facts['data'] = str(record['data'])
    facts |= {name: str(record[name]) for name in _RECORDED if record.get(name) is not None}
    if record.get('mmdecouple'):
        facts['trained with'] = f'mmdecouple {record["mmdecouple"]}'
    facts['exported with'] = f'mmdecouple {__version__}'
    facts['weights'] = 'random' if file is None else file.name
    if file is not None:
        facts['sha256 of the weights'] = digest_of_file(str(file))
    return {name: ' '.join(value.split()) for name, value in facts.items()}


def model_card(title: str, facts: Mapping[str, str], loading: str, notes: str, library: str | None = None) -> str:
    """Returns the text of a model card (README.md) in the form of the Hugging Face hub.

    Args:
        title: Title of the card.
        facts: Result of `provenance`.
        loading: Python code that loads the network.
        notes: What a user of the network has to know.
        library: Library that loads the folder, for the hub; None for none that the hub knows.
    """
    head = ['---', *([f'library_name: {library}'] if library else []), 'pipeline_tag: image-feature-extraction']
    rows = [f'| {name} | {_cell(value)} |' for name, value in facts.items()]
    return '\n'.join(
        [
            *head,
            '---',
            '',
            f'# {title}',
            '',
            '```python',
            loading.strip(),
            '```',
            '',
            notes.strip(),
            '',
            '| fact | value |',
            '| --- | --- |',
            *rows,
            '',
            'The weight file records no licence: whoever publishes this folder adds the key `license` at the top.',
            '',
        ]
    )


def _cell(text: str) -> str:
    return text.replace('|', r'\|').replace('<', '&lt;')

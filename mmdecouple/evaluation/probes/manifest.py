"""Manifest of all drawn ids, with which several checkpoints are measured on the same draws."""

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import DecodeError
from msgspec import json as strict_json

from mmdecouple.datasets.annotations import read_text_file
from mmdecouple.evaluation.measures.base import Drawn, Measure
from mmdecouple.evaluation.object_sources import ObjectSource, Sources
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.files import write_json

FORMAT = 'mmdecouple-manifest/1'
RENDERING = 2
"""Version of the rendering, increased when the same draws give other pixels, so that their numbers are never compared.
1: up to version 0.1.0, resized without averaging. 2: `resize`."""


def draw_manifest(measures: Sequence[Measure], configs: Sequence[dict], sources: Sources, seed: int) -> dict:
    """Draws all ids of all measures.

    Each measure has its own generator, so that adding a measure does not change the draws of another.

    Args:
        measures: Measures, as built from `configs`.
        configs: Configs of the measures, which are stored in the manifest.
        sources: Data sets to draw from.
        seed: Seed of the draws, non-negative.

    Returns:
        The manifest, JSON-able. Measures of something else than the data set holds are left out, with a remark.
    """
    parts = []
    for measure, config in zip(measures, configs):
        stream = np.random.SeedSequence([seed, zlib.crc32(measure.name.encode())])
        rng = np.random.Generator(np.random.PCG64(stream))
        drawn = _left_out(measure, sources.query) or measure.draw(sources, rng)
        parts.append(dict(name=measure.name, config=config, notes=drawn.notes, draws=drawn.draws))
    return dict(format=FORMAT, seed=seed, **_described(sources), measures=parts)


def probe_index(measures: Sequence[Measure], draws: Sequence[list[dict]]) -> np.ndarray:
    """Returns the indices of measure, draw and probe for every position in the data set.

    Args:
        measures: The measures.
        draws: Draws of each measure.

    Returns:
        Int32 `(probes, 3)`.
    """
    index = [
        (m, d, p)
        for m, (measure, own) in enumerate(zip(measures, draws, strict=True))
        for d, draw in enumerate(own)
        for p in range(len(measure.probes(draw)))
    ]
    return np.array(index, dtype=np.int32).reshape(-1, 3)


def read_manifest(path: str | Path, configs: Sequence[dict], sources: Sources, seed: int) -> dict:
    """Reads a manifest and checks that it was drawn for these settings.

    Args:
        path: File of the manifest.
        configs: Configs of the measures.
        sources: Data sets to draw from.
        seed: Seed of the draws.

    Raises:
        UserError: The file is not a manifest, or was drawn with other settings; the message names the first difference.
    """
    try:
        manifest = strict_json.decode(read_text_file(str(path), 'manifest'), type=dict[str, Any])
    except (DecodeError, UnicodeDecodeError, RecursionError):
        manifest = {}
    if manifest.get('format') != FORMAT:
        raise UserError(
            f'ProbeDataset: {path} is not a manifest of format {FORMAT}; name another file, or delete it to draw again.'
        )
    if manifest.pop('sha256', None) != digest(manifest):
        raise UserError(
            f'ProbeDataset: manifest {path} was changed after it was written, or comes from an earlier version; '
            'delete it to draw again: equal settings and data give equal draws.'
        )
    asked = dict(seed=seed, **_described(sources), measures=json.loads(json.dumps(list(configs))))
    saved = {**manifest, 'measures': [part['config'] for part in manifest['measures']]}
    for key, value in asked.items():
        if saved.get(key) != value:
            raise UserError(
                f'ProbeDataset: manifest {path} was drawn with {key} {saved.get(key)!r}, but '
                f'{value!r} is requested; use the same settings or another manifest file.'
            )
    return manifest


def write_manifest(path: str | Path, manifest: dict) -> None:
    """Writes a manifest with its digest, by which `read_manifest` detects changes."""
    write_json(path, {**manifest, 'sha256': digest(manifest)})


def check_references(manifest: dict, measures: Sequence[Measure], sources: Sources, where: str) -> None:
    """Raises a `UserError` for the first image or object of the manifest that the data sets lack."""
    for measure, part in zip(measures, manifest['measures']):
        for draw in part['draws']:
            for reference in measure.references(draw):
                source = sources[reference.source]
                if reference.image not in source:
                    missing = f'image {reference.image}'
                elif lost := set(reference.objects) - {int(key) for key in source.info(reference.image)['ids']}:
                    missing = f'object {min(lost)} of image {reference.image}'
                else:
                    continue
                raise UserError(
                    f'ProbeDataset: {where} names {missing}, which data set {source.name} '
                    f'({reference.source}) lacks; use the data from which it was drawn, or draw again.'
                )


def digest(manifest: dict) -> str:
    """Returns the SHA-256 of the content and of the version of the rendering, 64 hex digits."""
    return digest_of([RENDERING, manifest])


def _left_out(measure: Measure, source: ObjectSource) -> Drawn | None:
    """Returns the remark by which a measure is left out if the data set holds something else than it draws."""
    if measure.of in ('images', source.kind):
        return None
    kind = type(measure).__name__
    if source.kind == 'regions':
        reason = f'it requires annotated objects, and {source.name} has none; name annotated images (--data coco:ROOT)'
    else:
        reason = f"it draws {measure.of}, and {source.name} has annotated objects; omit of='{measure.of}'"
    return Drawn([], [f'{kind}: left out, as {reason}.'])


def _described(sources: Sources) -> dict:
    roles = dict(query=sources.query, bank=sources.bank, singles=sources.singles)
    return dict(size=sources.size, cell=sources.cell, datasets={role: s.name for role, s in roles.items()})

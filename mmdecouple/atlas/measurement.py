"""Measurements of the atlas, each in a file of its own, which is reused as long as network and draws are the same."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdecouple.evaluation.segmentation import Runtime, measure_segmentation
from mmdecouple.evaluation.segmentation.suites import measure_configs, open_splits
from mmdecouple.networks.open_networks import fingerprint
from mmdecouple.registry import MEASURES
from mmdecouple.utils.data_spec import COMPONENTS, DataSpec
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.files import write_json
from mmdecouple.visualization.affinity_files import write_affinity
from mmdecouple.visualization.coupling import Draws, Reading, measure_networks
from mmdecouple.visualization.sample_images import read_sample_images

from .subjects import Subject

Say = Callable[[str], None]
LAST = 'last'
# All networks are measured on the draws of one cell, although the patches of some have 8 or 14 pixels.
_CELL = 16
_MEASURES = ('ContextShift', 'IntraCouplingRatio', 'OKNN', 'PositionLeak')
# Those that features of whole images can have.
_GLOBAL_MEASURES = ('ContextShift', 'OKNN')
# Sides of images in pixels, divisible by patches of 8, 14 and 16 pixels. The connected components of label maps are
# small, so they are measured in larger images than annotated objects, which use the default.
_SEGMENT_SIZE = 224
_COMPONENT_SIZE = 448
_SEGMENT_SEEDS = 3
_AFFINITY_SIZE, _AFFINITY_IMAGES = 448, 4


@dataclass(frozen=True)
class Settings:
    """Settings of all measurements.

    Attributes:
        out: Folder of the files.
        limit: Maximum number of images and objects of every measure, and of images of a split.
        batch_size: Images per batch.
        workers: Number of processes that read images.
    """

    out: Path
    limit: int = 60
    batch_size: int = 8
    workers: int = 0


def data_name(data: DataSpec) -> str:
    """Returns the name of data in files and tables, such as `coco128`."""
    return Path(data.path).resolve().name if data.path else data.kind


def measure_coupling(subject: Subject, data: DataSpec, settings: Settings, say: Say) -> dict[str, str]:
    """Measures the coupling of a network at every layer in one pass over the images.

    Args:
        subject: The network.
        data: Data with annotated objects, or `camvid`, whose objects are the components of its label maps.
        settings: Settings.
        say: Called with a line for every report that is reused.

    Returns:
        Layer -> name of its report in the folder `coupling/DATA`, in the order of depth. `LAST` is the default map.
    """
    measures = _MEASURES if subject.local else _GLOBAL_MEASURES
    size = _COMPONENT_SIZE if data.kind in COMPONENTS else None
    networks = subject.networks()
    draws = Draws(str(data), size=size, cell=_CELL, measures=measures, limit=settings.limit)
    reading = Reading(batch_size=settings.batch_size, workers=settings.workers)
    measure_networks(networks, draws, reading, settings.out / 'coupling' / data_name(data), say)
    names = {network.model.layer or LAST: name for name, network in networks.items()}
    names[LAST] = names.pop(LAST)
    return names


def measure_segments(subject: Subject, data: DataSpec, settings: Settings, say: Say) -> Path:
    """Segments with the frozen features of a network, with three seeds, and returns the path of the report.

    The linear head is trained on features that are computed once, and retrieval uses a small memory and two groups of
    classes, as in `mmdecouple segment --quick`.
    """
    network = subject.network()
    configs = measure_configs(('linear', 'retrieval'), quick=True, seeds=_SEGMENT_SEEDS)
    measures = [MEASURES.build(config) for config in configs]
    facts = [asdict(measure) for measure in measures], _SEGMENT_SIZE, settings.limit, str(data), fingerprint(network)
    path, digest = settings.out / 'segment' / data_name(data) / f'{subject.name}.json', digest_of(facts)
    if path.is_file() and json.loads(path.read_text()).get('atlas_sha256') == digest:
        say(f'{subject.name}: already segmented with these settings, reused: {path}')
        return path
    images = open_splits(str(data), {}, True, _SEGMENT_SIZE, settings.limit)
    runtime = Runtime(settings.batch_size, settings.workers)
    report = measure_segmentation(network.model, images['train'], images['val'], measures, runtime=runtime)
    write_json(path, {**report, 'atlas_sha256': digest})
    return path


def draw_affinity(subjects: Sequence[Subject], data: DataSpec, settings: Settings) -> list[Path]:
    """Draws the affinity maps of all networks at the same points of four images, and returns the figures."""
    networks = {subject.name: subject.network() for subject in subjects if subject.local}
    images = read_sample_images(str(data), _AFFINITY_SIZE, _AFFINITY_IMAGES)
    return write_affinity(
        networks, images, [], 'fixed', None, settings.out / 'affinity' / data_name(data) / 'affinity.npz'
    )

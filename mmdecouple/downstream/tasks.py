"""Downstream tasks: their configs and data, and checks of both."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config, ConfigDict

from mmdecouple.datasets.annotations import read_instances
from mmdecouple.utils.configs import load_config
from mmdecouple.utils.data_spec import SPECS, DataSpec
from mmdecouple.utils.errors import MissingFile, UserError, WrongInstallation

from .archs import ARCHS, Arch, set_arch
from .smoke import SMOKES, shrink

_COCO = 'COCO 2017 with train2017/, val2017/ and annotations/instances_*2017.json'
_LISTS = (
    f'{_COCO}; the lists of few images are written by mmdecouple subset --data coco:data/coco '
    '--percent 1 5 10 --seeds 0'
)
_VOC = 'the folder VOCdevkit with VOC2007/ and VOC2012/'
_VOC_SEG = 'VOC 2012 with JPEGImages/, SegmentationClass/, SegmentationClassAug/ and ImageSets/Segmentation/'
_ADE = 'ADEChallengeData2016 with images/ and annotations/'
_CITY = 'Cityscapes with leftImg8bit/ and gtFine/, whose maps of train ids are written by cityscapesscripts'


@dataclass(frozen=True)
class Task:
    """Downstream task.

    Attributes:
        config: Config file below `configs/downstream`, without suffix.
        network: Kind of backbone, `ResNet` or `ViT`.
        data: Description of the data folder, for messages.
    """

    config: str
    network: str
    data: str

    @property
    def arch(self) -> str:
        """Network of the protocol, a key of `ARCHS`."""
        return dict(ResNet='resnet50', ViT='vit-s16')[self.network]

    def fits(self, arch: Arch) -> bool:
        """Returns whether the task can be built on a network."""
        return arch.network == self.network and ('-c4_' not in self.config or arch.has_conv5)


TASKS = {
    'coco-mask-rcnn-c4': Task('mmdet/mask-rcnn_r50-c4_90k_coco', 'ResNet', _COCO),
    'coco-mask-rcnn-fpn': Task('mmdet/mask-rcnn_r50-fpn_1x_coco', 'ResNet', _COCO),
    'coco-1pct': Task('mmdet/mask-rcnn_r50-fpn_1pct_coco', 'ResNet', _LISTS),
    'coco-5pct': Task('mmdet/mask-rcnn_r50-fpn_5pct_coco', 'ResNet', _LISTS),
    'coco-10pct': Task('mmdet/mask-rcnn_r50-fpn_10pct_coco', 'ResNet', _LISTS),
    'voc-faster-rcnn-c4': Task('mmdet/faster-rcnn_r50-c4_24k_voc0712', 'ResNet', _VOC),
    'coco-cascade-vit': Task('mmdet/cascade-mask-rcnn_vit-s16_1x_coco', 'ViT', _COCO),
    'ade-upernet': Task('mmseg/upernet_vit-s16_160k_ade20k', 'ViT', _ADE),
    'ade-linear-4taps': Task('mmseg/linear-4taps_vit-s16_160k_ade20k', 'ViT', _ADE),
    'ade-linear-last': Task('mmseg/linear-last_vit-s16_40k_ade20k', 'ViT', _ADE),
    'voc-fcn': Task('mmseg/fcn_r50_voc', 'ResNet', _VOC_SEG),
    'cityscapes-fcn': Task('mmseg/fcn_r50_40k_cityscapes', 'ResNet', _CITY),
}


def config_name(task: str) -> str:
    """Returns the config of a task in the form that `load_config` accepts.

    Args:
        task: Key of `TASKS`.
    """
    return f'mmdecouple::downstream/{TASKS[task].config}.py'


def task_config(task: str, smoke: str | None = None, arch: str | None = None, seed: int = 0) -> Config:
    """Returns the config of a task.

    Args:
        task: Key of `TASKS`.
        smoke: Key of `SMOKES`; None for the protocol.
        arch: Key of `ARCHS`; None for the network of the protocol.
        seed: Seed of the run, which also selects the list of images of a task with few images.
    """
    config = load_config(config_name(task))
    if arch is not None and arch != TASKS[task].arch:
        set_arch(config.model, ARCHS[arch])
    dataset = config.train_dataloader.dataset
    if (name := dataset.get('ann_file', '')).endswith('_seed0.json'):
        dataset.ann_file = name.replace('_seed0', f'_seed{seed}')
    if smoke is not None:
        shrink(config, smoke)
    return config


def check_arch(found: str, task: str, arch: str | None, where: str, own: bool = False) -> None:
    """Checks that a task can be built on the network of a checkpoint.

    Args:
        found: Description of the network, see `mmdecouple.weights.pretrained.architecture`.
        task: Key of `TASKS`.
        arch: Key of `ARCHS`; None for the network of the protocol.
        where: Name of the checkpoint in messages.
        own: Whether options define the network; then only its kind is checked.

    Raises:
        UserError: The network differs; the message names tasks or options that fit.
    """
    row = TASKS[task]
    wanted = ARCHS[arch or row.arch]
    fits = found.startswith(row.network) if own else found == wanted.architecture
    if fits and row.fits(wanted):
        return
    name = next((name for name, other in ARCHS.items() if other.architecture == found), None)
    if name is None:
        raise UserError(
            f'transfer: {where} holds a {found}, on which {task} cannot be built; choose one of the networks '
            f'{", ".join(ARCHS)} (--arch).'
        )
    if row.fits(ARCHS[name]):
        raise UserError(
            f'transfer: {where} holds a {found}, but {task} is built on a {wanted.architecture}; '
            f'{"use --arch " + name if name != row.arch else "omit --arch"}.'
        )
    fitting = [other for other, one in TASKS.items() if one.fits(ARCHS[name])]
    option = '' if name == TASKS[fitting[0]].arch else f' with --arch {name}'
    raise UserError(
        f'transfer: {where} holds a {found}, on which {task} cannot be built; tasks that fit{option}: '
        f'{", ".join(fitting)}.'
    )


def set_data(config: Config, task: str, smoke: str | None, data: DataSpec) -> None:
    """Replaces the data root by the place that the user names.

    Args:
        config: Config of a task, changed in place.
        task: Key of `TASKS`.
        smoke: See `task_config`.
        data: Data of the kind that the task uses. A task below the root of its kind, such as VOC 2012 in VOCdevkit,
            accepts both folders.

    Raises:
        UserError: The task uses another kind of data, or the splits of its protocol are replaced.
    """
    kinds = ('coco', 'coco128', 'scenes') if smoke else (task.partition('-')[0],)
    if data.kind not in kinds or (data.kind == 'scenes' and not data.is_export):
        forms = ' or '.join(SPECS[kind] for kind in kinds)
        raise UserError(f'transfer: {task} cannot be trained on {data}; name {forms} (--data).')
    if data.splits:
        raise UserError(f'transfer: {task} uses the splits of its protocol; name {data.kind}:ROOT alone (--data).')
    root = Path(data.path)
    inner = Path(next(_datasets(config, 'train'))[1].data_root).name
    set_data_root(config, str(root / inner if (root / inner).is_dir() else root))


def set_data_root(config: Config, root: str) -> None:
    """Replaces the data root in the data sets and in the files of the evaluators.

    Args:
        config: Config of a task, changed in place.
        root: The new folder.
    """
    for split in ('train', 'val', 'test'):
        for _, dataset in _datasets(config, split):
            old = dataset.data_root
            dataset.data_root = root
            evaluator = config.get(f'{split}_evaluator') or {}
            if str(evaluator.get('ann_file', '')).startswith(old):
                evaluator.ann_file = str(Path(root) / evaluator.ann_file[len(old) :].lstrip('/'))


def check_data(config: Config, task: str, smoke: str | None = None) -> None:
    """Checks that all annotation files and image folders of a config exist.

    Args:
        config: Config of the task.
        task: Key of `TASKS`.
        smoke: See `task_config`.

    Raises:
        MissingFile: A file or folder is missing.
    """
    data = SMOKES[smoke] if smoke else TASKS[task].data
    for split in ('train', 'val', 'test'):
        for key, dataset in _datasets(config, split):
            root = Path(dataset.data_root)
            remedy = f'expected: {data}; create it there, or name its place with --data'
            if not root.is_dir():
                raise MissingFile(
                    f'{task}: the data folder {root} does not exist (config key {key}.data_root); {remedy}.'
                )
            needed = [dataset.get('ann_file') or '', *dataset.get('data_prefix', {}).values()]
            missing = next((root / name for name in needed if name and not (root / name).exists()), None)
            if missing is not None:
                raise MissingFile(
                    f'{task}: the data folder {root} lacks {missing.relative_to(root)} (config key {key}); {remedy}.'
                )


def check_annotations(config: Config) -> None:
    """Checks every annotation file in COCO's format, because mmdet trains and scores repeated ids without an error.

    Args:
        config: Config of a task whose files exist.

    Raises:
        UserError: A record is invalid, or two records have the same id.
    """
    data = [dataset for split in ('train', 'val', 'test') for _, dataset in _datasets(config, split)]
    for path in dict.fromkeys(str(Path(each.data_root) / (each.get('ann_file') or '')) for each in data):
        if path.endswith('.json'):
            read_instances(path)


def use_faster_coco_eval(config: Config) -> None:
    """Replaces `CocoMetric` with mmdet's `FasterCocoMetric`; other evaluators are not changed.

    Args:
        config: Config of a task, changed in place.

    Raises:
        WrongInstallation: The package `faster-coco-eval` is not installed.
    """
    if find_spec('faster_coco_eval') is None:
        raise WrongInstallation(
            'transfer: faster-coco-eval is not installed; run pip install faster-coco-eval, or '
            'omit --faster-coco-eval (the results are the same).'
        )
    for split in ('val', 'test'):
        evaluator = config[f'{split}_evaluator'] or {}
        if str(evaluator.get('type')).rpartition('.')[2] == 'CocoMetric':
            evaluator.type = 'mmdet.FasterCocoMetric'


def _datasets(config: Config, split: str) -> Iterator[tuple[str, ConfigDict]]:
    """Yields config keys and configs of the data sets with files, including those inside wrappers."""
    loader = config[f'{split}_dataloader']
    waiting = [(f'{split}_dataloader.dataset', loader.dataset)] if loader else []
    while waiting:
        key, dataset = waiting.pop(0)
        if 'dataset' in dataset:
            waiting.append((f'{key}.dataset', dataset.dataset))
        elif 'datasets' in dataset:
            waiting += [(f'{key}.datasets.{index}', inner) for index, inner in enumerate(dataset.datasets)]
        else:
            yield key, dataset

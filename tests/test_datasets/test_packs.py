"""A pack gives the samples of its folder, has the same bytes however it was made, and notices damage."""

import io
import json
import pickle
import tarfile
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from torch.utils.data import DataLoader

from mmdecouple.datasets import CocoObjects, ImageDataset, ShardedImages, packs
from mmdecouple.datasets.pack_format import RECORD, index_digest
from mmdecouple.datasets.pack_writing import Storage
from mmdecouple.datasets.packs import Pack
from mmdecouple.datasets.proposals import write_proposals
from mmdecouple.datasets.reading import decode_image
from mmdecouple.datasets.transforms import RandomResizedCropView
from mmdecouple.datasets.transforms.views import _stored_span
from mmdecouple.runs import packing
from mmdecouple.runs.packing import Packing, list_source, verify
from mmdecouple.utils.data_spec import read_spec
from mmdecouple.utils.errors import UserError

UNCHANGED = Storage()
COLORS = [dict(type='RandomColorJitter'), dict(type='RandomGaussianBlur'), dict(type='RandomFlipView')]
CROP = dict(type='RandomResizedCropView', size=24)
TWO_VIEWS = [dict(type='MultiView', views=[[CROP, *COLORS]], num_views=[2]), dict(type='PackViews')]
BOX_VIEWS = [
    dict(
        type='BoxViews',
        views=[[dict(type='WholeImageView', size=24), COLORS[2]], [CROP]],
        num_views=[1, 1],
        jitter_prob=0.5,
    ),
    dict(type='PackViews'),
]
FAR_VIEWS = [dict(type='OverlapViews', views=[[CROP, *COLORS], [CROP]], num_views=[2, 2]), dict(type='PackViews')]


def picture(seed, size=(60, 80)):
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def save(path, seed, size=(60, 80), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, size)).save(path, **options)


@pytest.fixture
def source(tmp_path):
    """Folder of images of several formats and sizes, of which two cannot be decoded."""
    folder = tmp_path / 'images'
    for index in range(8):
        save(folder / f'{index}.jpg', index, (60 + 8 * index, 90), quality=95)
    turned = Image.Exif()
    turned[274] = 6
    save(folder / 'sub' / 'turned.jpg', 20, (50, 70), exif=turned)
    save(folder / 'sub' / 'small.png', 21, (20, 30))
    save(folder / 'sub' / 'ünter.webp', 22)
    (folder / '3.jpg').write_bytes(b'broken')
    (folder / 'empty.png').write_bytes(b'')
    return folder


def pack(source, out, storage=UNCHANGED, shard_size=9000, workers=1, images=None):
    listed = f'list:{source}' if images is None else f'list:{source}:{images}'
    data = read_spec(str(source) if source.is_dir() else listed)
    found = Packing(out, *list_source(data), storage, shard_size).run(workers, Console(quiet=True))
    return out, found


def samples(dataset, workers=0, epochs=2):
    keys = [(epoch, index) for epoch in range(epochs) for index in range(len(dataset))]
    return list(DataLoader(dataset, sampler=keys, batch_size=None, num_workers=workers))


def same_sample(one, other, pixels=True):
    first, second = one['data_samples'], other['data_samples']
    assert torch.equal(first.geometry, second.geometry)
    assert first.sample_idx == second.sample_idx
    for key in ('boxes', 'box_ids'):
        assert torch.equal(first.get(key, torch.zeros(0)), second.get(key, torch.zeros(0)))
    assert not pixels or all(map(torch.equal, one['inputs'], other['inputs']))


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('kind', ['folder', 'list', 'coco'])
def test_a_pack_gives_the_samples_of_its_source_to_the_bit(source, tmp_path, kind, workers):
    names = ['7.jpg', 'sub/turned.jpg', '0.jpg', 'gone.jpg', '7.jpg', '3.jpg', 'sub/ünter.webp', *['1.jpg'] * 100]
    spec, options = source, dict(data_root=str(source))
    if kind != 'folder':
        text = '\n'.join(names) if kind == 'list' else json.dumps(dict(images=[dict(file_name=n) for n in names]))
        spec = tmp_path / 'source'
        spec.write_text(text)
        options = dict(data_root=str(tmp_path), ann_file='source', img_prefix='images')
    original = ImageDataset(TWO_VIEWS, seed=3, **options)
    packed = ShardedImages(TWO_VIEWS, seed=3, root=str(pack(spec, tmp_path / 'pack', images=str(source))[0]))
    packed[0]  # opens files, which neither a pickle nor a worker may share
    packed = pickle.loads(pickle.dumps(packed))
    assert len(packed) == len(original)
    relative = [path.removeprefix(f'{source}/') for path in original.paths]
    assert [packed.pack.name(index) for index in range(len(packed))] == relative
    assert packed.paths.digest == original.paths.digest  # so that a run may move from one to the other
    for one, other in zip(samples(original, epochs=1), samples(packed, workers, epochs=1), strict=True):
        same_sample(one, other)
        skipped = [[path.rpartition('/')[2] for path, _ in s['data_samples'].unreadable] for s in (one, other)]
        assert skipped[0] == skipped[1]


@pytest.mark.parametrize('pipeline', [TWO_VIEWS, FAR_VIEWS, BOX_VIEWS], ids=['two', 'overlap', 'boxes'])
def test_reduced_images_have_the_draws_windows_and_boxes_of_their_source(source, tmp_path, pipeline):
    if pipeline is BOX_VIEWS:
        names = sorted(str(path.relative_to(source)) for path in source.rglob('*.*'))
        images = [ImageDataset([], data_root=str(source)).load(index) for index in range(len(names))]
        sizes = [(0, 0) if image['unreadable'] else image['ori_shape'] for image in images]
        boxes = [[(5, 6, 25, 19), (0, 0, 11, 20)] if min(size) else [] for size in sizes]
        write_proposals(tmp_path / 'p.npz', names, sizes, boxes, 'toys', {})
        pipeline = [dict(type='LoadProposals', file=str(tmp_path / 'p.npz')), *pipeline]
    root, _ = pack(source, tmp_path / 'pack', Storage(shorter_side=40, quality=95))
    original = ImageDataset(pipeline, data_root=str(source), seed=3)
    packed = ShardedImages(pipeline, root=str(root), seed=3)
    differences = []
    for one, other in zip(samples(original), samples(packed), strict=True):
        same_sample(one, other, pixels=False)
        differences += [(a.float() - b.float()).abs().mean() for a, b in zip(one['inputs'], other['inputs'])]
    assert 0 < np.mean(differences) < 6


def test_a_stored_image_is_the_file_or_its_reduction_by_pillow(source, tmp_path):
    opened = Pack(pack(source, tmp_path / 'pack', Storage(shorter_side=40, quality=90))[0])
    for index in range(len(opened)):
        path, size = source / opened.name(index), opened.size(index)
        if not path.stat().st_size or min(size) <= 40:
            assert not path.stat().st_size or opened.content(index) == path.read_bytes()
            continue
        upright = decode_image(path.read_bytes())
        assert upright.shape[:2] == size
        stored = Image.open(io.BytesIO(opened.content(index)))
        assert (stored.format, min(stored.size), stored.getexif()) == ('JPEG', 40, {})
        expected = Image.fromarray(upright).resize(stored.size, Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        expected.save(buffer, 'JPEG', quality=90, subsampling='4:2:0')
        reduced = np.asarray(Image.open(buffer), int)
        assert abs(np.asarray(stored, int) - reduced).mean() < 2
        assert stored.quantization == Image.open(buffer).quantization


def test_shards_are_plain_archives_of_the_files_within_the_limit(source, tmp_path):
    root, found = pack(source, tmp_path / 'pack')
    shards = sorted(root.glob('shard-*.tar'))
    assert len(shards) > 1 and all(path.stat().st_size <= 9000 + 10240 for path in shards)
    stored = {}
    for path in shards:
        with tarfile.open(path) as archive:
            members = archive.getmembers()
            assert all((member.mtime, member.uid, member.uname) == (0, 0, '') for member in members)
            stored |= {member.name: archive.extractfile(member).read() for member in members}
    paths = sorted(path for path in source.rglob('*.*'))
    assert list(stored.values()) == [path.read_bytes() for path in paths]
    assert list(stored) == [f'{number:09d}{path.suffix}' for number, path in enumerate(paths)]
    assert [name for name, _ in found] == ['3.jpg', 'empty.png']
    lines = (root / 'unreadable_images.txt').read_text().splitlines()
    assert [line.split('\t')[0] for line in lines] == ['3.jpg', 'empty.png']


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_an_interrupted_pack_continues_and_has_the_bytes_of_an_uninterrupted_one(source, tmp_path, monkeypatch):
    storage = Storage(shorter_side=40, quality=80)
    whole = contents(pack(source, tmp_path / 'whole', storage, 4000)[0])
    assert len(whole) > 5
    read = []

    class Killed(BaseException):
        pass

    def until(path, storage):
        read.append(path)
        if len(read) == stop:
            raise Killed
        return store(path, storage)

    store = packing.stored_image
    monkeypatch.setattr(packing, 'stored_image', until)
    for stop in (5, 4, 3):
        read.clear()
        with pytest.raises(Killed):
            pack(source, tmp_path / 'parts', storage, 4000)
        with pytest.raises(UserError, match='is not a finished pack'):
            Pack(tmp_path / 'parts')
    monkeypatch.undo()
    with pytest.raises(UserError, match='of other images or with other settings'):
        pack(source, tmp_path / 'parts', storage, 5000)
    (tmp_path / 'parts' / '.shard-000003.tar.elsewhere').write_bytes(b'a strange file stays')
    assert contents(pack(source, tmp_path / 'parts', storage, 4000, workers=2)[0]) == {
        '.shard-000003.tar.elsewhere': b'a strange file stays',
        **whole,
    }
    with pytest.raises(UserError, match='is a finished pack'):
        pack(source, tmp_path / 'parts', storage, 4000)
    with pytest.raises(UserError, match='holds other files'):
        pack(source, source, storage, 4000)


def flip(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


DAMAGE = {
    'no pack': (lambda root: (root / 'pack.json').unlink(), 'is not a finished pack'),
    'no json': (lambda root: (root / 'pack.json').write_text('{'), 'is not the head of a pack'),
    'list': (lambda root: (root / 'pack.json').write_text('[]'), 'is not the head of a pack'),
    'deep': (lambda root: (root / 'pack.json').write_text('[' * 100000), 'is not the head of a pack'),
    'newer': (lambda root: (root / 'pack.json').write_text('{"format": "mmdecouple-pack", "version": 2}'), 'version'),
    'records': (lambda root: flip(root / 'records.bin', 200), 'index .* is damaged'),
    'names': (lambda root: flip(root / 'names.bin', 2), 'index .* is damaged'),
    'no names': (lambda root: (root / 'names.bin').unlink(), 'cannot be opened'),
    'cut shard': (lambda root: (root / 'shard-000001.tar').write_bytes(b'cut'), 'has 3 bytes instead of'),
    'no shard': (lambda root: (root / 'shard-000001.tar').unlink(), 'cannot be opened'),
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_a_damaged_pack_is_refused_in_one_line_that_names_file_and_remedy(source, tmp_path, damage):
    root, _ = pack(source, tmp_path / 'pack')
    harm, message = DAMAGE[damage]
    harm(root)
    with pytest.raises(UserError, match=message) as caught:
        ShardedImages(TWO_VIEWS, root=str(root))
    line = str(caught.value)
    assert '\n' not in line and str(root) in line
    assert '`mmdecouple pack`' in line or 'check the path' in line or 'this package reads' in line


def test_an_image_with_a_wrong_checksum_is_replaced_and_found_by_the_check(source, tmp_path, capsys):
    root, _ = pack(source, tmp_path / 'pack')
    record = np.fromfile(root / 'records.bin', RECORD)[1]
    flip(root / f'shard-{record["shard"]:06d}.tar', int(record['offset'] + record['size'] - 20))
    sample = ShardedImages(TWO_VIEWS, root=str(root))[(0, 1)]['data_samples']
    assert sample.sample_idx == 2 and 'do not have their checksum' in sample.unreadable[0][1]
    with pytest.raises(UserError, match='1 of the 12 images'):
        verify(root)
    assert '\n1.jpg: its bytes in shard-000000.tar do not' in capsys.readouterr().out


def test_a_shard_that_disappears_during_training_ends_it_in_one_line(source, tmp_path):
    dataset = ShardedImages(TWO_VIEWS, root=str(pack(source, tmp_path / 'pack')[0]), seed=0)
    for path in dataset.pack.root.glob('*.tar'):
        path.unlink()
    with pytest.raises(UserError, match=r'shard-000000\.tar.* cannot be opened'):
        dataset[0]


@pytest.mark.parametrize('change', ['shard', 'offset', 'size', 'name_end', 'height', 'count'])
def test_an_index_that_was_made_up_reads_nothing_but_the_shards(source, tmp_path, change):
    root, _ = pack(source, tmp_path / 'pack')
    records = np.fromfile(root / 'records.bin', RECORD)
    if change in RECORD.names:
        records[change] = 2**32 - 1
    elif change == 'count':
        records = records[:-1]
    records.tofile(root / 'records.bin')
    head = json.loads((root / 'pack.json').read_text())
    head['digest'] = index_digest(root, head['names_digest'], head['settings'])
    (root / 'pack.json').write_text(json.dumps(head))
    try:
        dataset = ShardedImages([], root=str(root), max_bad_share=1)
        assert dataset.load(2)['img'].shape[2] == 3 and change in ('name_end', 'height')
    except UserError as error:
        assert '\n' not in str(error)


def test_objects_are_read_from_a_pack_of_unchanged_files(source, tmp_path):
    names = ['sub/turned.jpg', '7.jpg', '0.jpg']
    images, records = [], []
    for number, name in enumerate(names, 1):
        width, height = Image.open(source / name).size
        images.append(dict(id=number, file_name=name, height=height, width=width))
        shape = [[1, 2, 30, 2, 30, 20, 1, 20]]
        record = dict(id=number, image_id=number, category_id=1, bbox=[1, 2, 29, 18], area=522.0, segmentation=shape)
        records.append(record)
    content = dict(images=images, annotations=records, categories=[dict(id=1, name='toy')])
    (tmp_path / 'objects.json').write_text(json.dumps(content))
    root, _ = pack(source, tmp_path / 'pack')
    original, packed = (CocoObjects(str(tmp_path / 'objects.json'), str(place)) for place in (source, root))
    packed = pickle.loads(pickle.dumps(packed))
    for index in range(3):
        for one, other in zip(original.objects(index), packed.objects(index)):
            assert np.array_equal(one, other)
    reduced, _ = pack(source, tmp_path / 'reduced', Storage(40, 90))
    with pytest.raises(UserError, match='pack of reduced images'):
        CocoObjects(str(tmp_path / 'objects.json'), str(reduced))
    (source / '0.jpg').unlink()
    incomplete, _ = pack(source, tmp_path / 'incomplete')
    with pytest.raises(UserError, match="1 of 3 images .* not in the pack .* the first is '0.jpg'"):
        CocoObjects(str(tmp_path / 'objects.json'), str(incomplete))


def test_threads_read_from_one_pack_what_one_thread_reads(source, tmp_path, monkeypatch):
    # With one open file, every read of another file may close the one that another thread reads.
    monkeypatch.setattr(packs, '_MOST_OPEN', 1)
    found = Pack(pack(source, tmp_path / 'pack', shard_size=3000)[0])
    images = [index for index in range(len(found)) if found.size(index) != (0, 0)]
    expected = [(found.size(index), found.name(index), found.content(index)) for index in images]
    start = threading.Barrier(8)

    def read(_):
        start.wait()
        return [[(found.size(i), found.name(i), found.content(i)) for i in images] for _ in range(20)]

    with ThreadPoolExecutor(8) as readers:
        assert list(readers.map(read, range(8))) == [[expected] * 20] * 8


def test_names_are_data_that_leave_the_folder_of_a_pack_alone(source, tmp_path):
    outside = tmp_path / 'outside.jpg'
    save(outside, 30)
    names = ['../outside.jpg', str(outside), '0.jpg', 'sub/../1.jpg']
    (tmp_path / 'list.txt').write_text('\n'.join(names))
    root, _ = pack(tmp_path / 'list.txt', tmp_path / 'pack', images=str(source))
    with tarfile.open(root / 'shard-000000.tar') as archive:
        archive.extractall(tmp_path / 'extracted', filter='data')
    assert sorted(path.name for path in (tmp_path / 'extracted').iterdir())[0] == '000000000.jpg'
    opened = Pack(root)
    assert [opened.name(index) for index in range(4)][2:] == ['0.jpg', 'sub/../1.jpg']
    assert opened.content(0) == opened.content(1) == outside.read_bytes()


def test_a_pack_that_is_given_as_a_folder_is_named(source, tmp_path):
    root, _ = pack(source, tmp_path / 'pack')
    with pytest.raises(UserError, match="is a pack of images; read it with type='ShardedImages'"):
        ImageDataset(TWO_VIEWS, data_root=str(tmp_path), img_prefix='pack')


def test_a_source_whose_images_are_missing_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg\nb.jpg\n')
    with pytest.raises(UserError, match='2 of the 2 images .* do not exist.* list:FILE:FOLDER'):
        pack(tmp_path / 'list.txt', tmp_path / 'pack')
    assert not (tmp_path / 'pack').exists()


def test_the_digest_of_the_names_depends_on_them_and_their_order_alone(source, tmp_path):
    unchanged, _ = pack(source, tmp_path / 'unchanged')
    reduced, _ = pack(source, tmp_path / 'reduced', Storage(40, 90))
    first, second = ShardedImages([], root=str(unchanged)), ShardedImages([], root=str(reduced))
    assert first.paths.digest == second.paths.digest and first.pack_digest != second.pack_digest
    assert first.paths[:2] == [str(unchanged / '0.jpg'), str(unchanged / '1.jpg')]
    names = [path.removeprefix(f'{unchanged}/') for path in first.paths]
    (tmp_path / 'list.txt').write_text('\n'.join([*names[1:], names[0]]))
    other, _ = pack(tmp_path / 'list.txt', tmp_path / 'other', images=str(source))
    assert Pack(other).names_digest != first.paths.digest


def test_checksums_are_those_of_zlib(source, tmp_path):
    root, _ = pack(source, tmp_path / 'pack')
    opened, records = Pack(root), np.fromfile(root / 'records.bin', RECORD)
    for index in range(len(opened)):
        if records[index]['size']:
            assert zlib.crc32((source / opened.name(index)).read_bytes()) == records[index]['crc32']


@given(data=st.data(), source=st.integers(1, 5000), stored=st.integers(1, 5000))
@settings(deadline=None, max_examples=300)
def test_a_window_of_a_copy_is_within_half_a_pixel_of_that_of_the_source(data, source, stored):
    start = data.draw(st.integers(0, source - 1))
    length = data.draw(st.integers(1, source - start))
    span = _stored_span(start, length, source, stored)
    assert 0 <= span.start < span.stop <= stored
    scale = stored / source
    if span.stop - span.start > 1:
        assert abs(span.start - start * scale) <= 0.5 and abs(span.stop - (start + length) * scale) <= 0.5
    if stored == source:
        assert (span.start, span.stop) == (start, start + length)


def test_an_image_without_a_copy_is_cropped_as_before():
    image = picture(1)
    view = RandomResizedCropView(24)
    torch.manual_seed(0)
    plain = view(dict(img=image))
    torch.manual_seed(0)
    whole = view(dict(img=image, ori_shape=image.shape[:2], shrunk=True))
    assert np.array_equal(plain['img'], whole['img']) and plain['crop_window'] == whole['crop_window']

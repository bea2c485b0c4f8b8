import io
import json
import os
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdecouple.datasets import ImageDataset, UnreadableImage, read_image
from mmdecouple.datasets.reading import decode_image, readable_endings

PIPELINE = [
    dict(type='MultiView', views=[[dict(type='RandomResizedCropView', size=16)]], num_views=[2]),
    dict(type='PackViews'),
]


def pixels(seed=0, size=(48, 64)):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


@pytest.fixture
def folder(tmp_path):
    for index in range(8):
        write(tmp_path, f'images/{index}.jpg', encoded(pixels(index), 'JPEG', quality=95))
    return tmp_path


def odd_files():
    image = pixels()
    cmyk = io.BytesIO()
    Image.fromarray(image).convert('CMYK').save(cmyk, 'JPEG', quality=98)
    wide = cv2.imencode('.png', image[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    alpha = np.dstack([image, np.full(image.shape[:2], 9, np.uint8)])
    return {
        'cmyk.jpg': (cmyk.getvalue(), image),
        'wide.png': (wide, image),
        'wide.tif': (cv2.imencode('.tif', image[..., ::-1].astype(np.uint16) * 257)[1].tobytes(), image),
        'gray.jpg': (encoded(image[..., 0], 'JPEG', quality=98), image[..., :1].repeat(3, 2)),
        'alpha.png': (encoded(alpha, 'PNG'), image),
        'trailing.jpg': (encoded(image, 'JPEG', quality=98) + b'camera notes', image),
        'one_pixel.png': (encoded(image[:1, :1], 'PNG'), image[:1, :1]),
        'lossless.webp': (encoded(image, 'WEBP', lossless=True), image),
        'disguised.jpg': (encoded(image, 'PNG'), image),
    }


@pytest.mark.parametrize('name', list(odd_files()))
def test_an_odd_but_whole_file_is_read_as_rgb(tmp_path, name):
    data, expected = odd_files()[name]
    image = read_image(write(tmp_path, name, data))
    assert image.dtype == np.uint8 and image.shape == expected.shape
    assert abs(image.astype(int) - expected).mean() < 4


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_the_exif_orientation_is_applied(tmp_path, kind):
    exif = Image.Exif()
    exif[274] = 6
    image = read_image(write(tmp_path, 'turned', encoded(pixels(), kind, exif=exif)))
    assert abs(image.astype(int) - np.rot90(pixels(), -1)).mean() < 12


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'GIF', 'BMP', 'TIFF'])
@pytest.mark.parametrize('share', [0.0, 0.3, 0.98])
def test_a_truncated_file_is_refused(tmp_path, kind, share):
    data = encoded(pixels(), kind)
    with pytest.raises(UnreadableImage):
        read_image(write(tmp_path, 'cut', data[: int(len(data) * share)]))


@pytest.mark.parametrize('options', [dict(), dict(progressive=True), dict(subsampling=0), dict(optimize=True)], ids=str)
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('share', [0.4, 0.7, 0.95])
def test_a_cut_jpeg_with_an_end_mark_appended_is_refused(tmp_path, options, mode, share):
    buffer = io.BytesIO()
    Image.fromarray(pixels(size=(240, 320))).convert(mode).save(buffer, 'JPEG', **options)
    data = buffer.getvalue()
    assert read_image(write(tmp_path, 'whole.jpg', data)).shape == (240, 320, 3)
    with pytest.raises(UnreadableImage, match='premature end'):
        read_image(write(tmp_path, 'cut.jpg', data[: int(len(data) * share)] + b'\xff\xd9'))


@pytest.mark.parametrize('orientation', range(10))
@pytest.mark.parametrize('options', [dict(), dict(progressive=True), dict(subsampling=1), dict(quality=20)], ids=str)
def test_a_jpeg_has_the_pixels_of_opencv(orientation, options):
    exif = Image.Exif()
    exif[274] = orientation
    data = encoded(pixels(size=(45, 67)), 'JPEG', exif=exif, **options)
    upright = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    assert np.array_equal(decode_image(data), upright)
    assert np.array_equal(decode_image(data, upright=False), stored)


def test_stray_bytes_between_the_segments_of_a_jpeg_do_no_harm():
    data = encoded(pixels(), 'JPEG')
    assert np.array_equal(decode_image(data[:-2] + b'stray' + data[-2:]), decode_image(data))


def test_what_is_no_ordinary_file_is_refused_without_being_opened(tmp_path):
    os.mkfifo(tmp_path / 'fifo.jpg')
    (tmp_path / 'endless.jpg').symlink_to('/dev/zero')
    (tmp_path / 'folder.jpg').mkdir()
    for name in ('fifo.jpg', 'endless.jpg', 'folder.jpg'):
        with pytest.raises(UnreadableImage, match='not an ordinary file'):
            read_image(str(tmp_path / name))


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path):
    jpeg = bytearray(encoded(pixels(), 'JPEG'))
    frame = jpeg.index(b'\xff\xc0')
    jpeg[frame + 5 : frame + 9] = b'\xff\xff\xff\xff'
    png = bytearray(encoded(pixels(), 'PNG'))
    png[16:24] = b'\0\0\xff\xff' * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, 'big')
    for data in (jpeg, png):
        with pytest.raises(UnreadableImage, match='pixels'):
            decode_image(bytes(data))
    with open(tmp_path / 'sparse.jpg', 'wb') as file:
        file.truncate(2**31)
    with pytest.raises(UnreadableImage, match='more than 1073741824'):
        read_image(str(tmp_path / 'sparse.jpg'))


def test_no_file_starts_a_program():
    """Pillow hands PostScript to Ghostscript."""
    with pytest.raises(UnreadableImage):
        decode_image(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n')
    assert not readable_endings() & {'.eps', '.ps', '.pdf', '.mpg', '.mpeg', '.h5', '.wmf'}


@pytest.mark.parametrize('ending', sorted(readable_endings() - {'.j2c', '.jpc'}))
def test_every_ending_that_a_walk_takes_is_read(tmp_path, ending):
    image = Image.fromarray(pixels())
    image = image.convert('1') if ending == '.pbm' else image.convert('L') if ending == '.pgm' else image
    image.save(tmp_path / f'image{ending}')
    assert read_image(str(tmp_path / f'image{ending}')).shape == (48, 64, 3)


def test_html_in_disguise_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UnreadableImage):
        read_image(write(tmp_path, 'page.jpg', b'<!DOCTYPE html><html>404</html>'))
    with pytest.raises(UnreadableImage, match='No such file'):
        read_image(str(tmp_path / 'absent.jpg'))


def test_folder_list_and_annotation_file_name_the_same_images(folder):
    names = [f'images/{index}.jpg' for index in range(8)]
    (folder / 'list.txt').write_text('\n'.join(names))
    (folder / 'ann.json').write_text(json.dumps(dict(images=[dict(file_name=n) for n in names])))
    listings = [
        list(ImageDataset(PIPELINE, data_root=str(folder), ann_file=ann_file).paths)
        for ann_file in (None, 'list.txt', 'ann.json')
    ]
    assert listings[0] == listings[1] == listings[2]
    assert len(listings[0]) == 8


def test_an_unreadable_image_is_replaced_by_the_next_readable_one_and_named(folder):
    for name in ('2.jpg', '3.jpg'):
        write(folder, f'images/{name}', b'broken')
    dataset = ImageDataset(PIPELINE, data_root=str(folder), img_prefix='images')
    sample = dataset[(5, 2)]['data_samples']
    assert sample.img_path.endswith('4.jpg') and sample.sample_idx == 4
    assert [path[-5:] for path, reason in sample.unreadable] == ['2.jpg', '3.jpg']
    assert dataset[(5, 1)]['data_samples'].unreadable == []


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(ann_file='absent.json'), 'the annotation file .* does not exist'),
        (dict(img_prefix='absent'), 'the folder .* does not exist'),
        (dict(img_prefix='empty'), 'no image'),
        (dict(ann_file='ann.json', img_prefix='elsewhere'), '3 of the 3 images do not exist'),
        (dict(ann_file='bare.json'), 'is not a COCO annotation file: it has no images'),
        (dict(ann_file='empty.txt'), 'is empty'),
        (dict(max_bad_share=3), 'max_bad_share must lie in'),
    ],
)
def test_input_that_cannot_be_used_is_named_before_training(folder, options, message):
    (folder / 'empty').mkdir()
    images = [dict(file_name=f'images/{index}.jpg') for index in range(3)]
    (folder / 'ann.json').write_text(json.dumps(dict(images=images)))
    (folder / 'bare.json').write_text('{}')
    (folder / 'empty.txt').write_text('\n')
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        ImageDataset(PIPELINE, data_root=str(folder), **options)
    assert '\n' not in str(caught.value)

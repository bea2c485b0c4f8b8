"""A folder is walked once, whatever links it holds, and the log says what was found and what was skipped."""

import os

import pytest

from mmdecouple.datasets.listing import list_images
from mmdecouple.utils.errors import UserError


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr('mmdecouple.datasets.listing.print_log', lambda line, logger: lines.append(line))
    return lines


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b'x')


def found(folder):
    return [os.path.relpath(path, folder) for path in list_images('', None, str(folder))]


def test_links_to_the_folder_itself_to_each_other_and_upwards_add_nothing(tmp_path, said):
    root = tmp_path / 'all' / 'train'
    make(tmp_path / 'all', 'val/secret.jpg', 'train/1.jpg', 'train/a/2.jpg', 'train/b/3.jpg')
    for link, target in (
        ('self', '.'),
        ('a/up', '..'),
        ('a/to_b', '../b'),
        ('b/to_a', '../a'),
        ('z', '../..'),
        ('ring', 'ring'),
    ):
        (root / link).symlink_to(target)
    assert found(root) == ['1.jpg', 'a/2.jpg', 'b/3.jpg']
    assert 'link to a folder that was entered or contains it 5' in said[0]


def test_a_folder_elsewhere_is_entered_once_through_the_first_of_its_links(tmp_path, said):
    make(tmp_path, 'root/1.jpg', 'elsewhere/2.jpg', 'elsewhere/deep/3.jpg')
    for link in ('y', 'x'):
        (tmp_path / 'root' / link).symlink_to('../elsewhere')
    (tmp_path / 'elsewhere' / 'back').symlink_to('../root')
    assert found(tmp_path / 'root') == ['1.jpg', 'x/2.jpg', 'x/deep/3.jpg']


def test_a_link_to_a_file_is_an_image_of_its_own(tmp_path, said):
    make(tmp_path, 'a.jpg', 'list.jpg/b.png')
    (tmp_path / 'link.jpg').symlink_to('a.jpg')
    os.link(tmp_path / 'a.jpg', tmp_path / 'hard.JPG')
    assert found(tmp_path) == ['a.jpg', 'hard.JPG', 'link.jpg', 'list.jpg/b.png']


def test_one_line_says_what_was_found_and_what_was_passed_over(tmp_path, said):
    make(tmp_path, '1.jpg', '2.JPG', 'c.jp2', 'd.tga', '._1.jpg', '.cache/3.jpg')
    make(tmp_path, 'notes.txt', 'page.pdf', 'fig.eps', 'README')
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'broken.png').symlink_to('nowhere.png')
    (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
    assert found(tmp_path) == ['1.jpg', '2.JPG', 'c.jp2', 'd.tga']
    assert len(said) == 1 and said[0].startswith(f'4 images below {tmp_path} (.jpg 2, .jp2 1, .tga 1); skipped: ')
    for part in (
        '.txt 1',
        '.pdf 1',
        '.eps 1',
        'name without extension 1',
        'name with a leading dot 2',
        'broken link or special file 3',
    ):
        assert part in said[0]


def test_a_folder_that_cannot_be_read_is_passed_over_and_counted(tmp_path, said, monkeypatch):
    make(tmp_path, 'open/1.jpg', 'shut/2.jpg')
    scan = os.scandir

    def scandir(path):
        if str(path).endswith('shut'):
            raise PermissionError(13, 'Permission denied')
        return scan(path)

    monkeypatch.setattr(os, 'scandir', scandir)
    assert found(tmp_path) == ['open/1.jpg'] and 'unreadable folder 1' in said[0]
    with pytest.raises(UserError, match='cannot be read .Permission denied.'):
        list_images('', None, str(tmp_path / 'shut'))


def test_a_folder_without_an_image_is_one_line_that_says_what_it_holds(tmp_path):
    make(tmp_path, 'a.mp4', 'b.mp4')
    with pytest.raises(UserError, match='no image in .* skipped: .mp4 2'):
        list_images('', None, str(tmp_path))

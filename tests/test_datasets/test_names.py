"""Names live in a file that all processes share; whatever happens to it or to its source, the names are right."""

import json
import multiprocessing
import os
import pickle
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdecouple.datasets import ImageDataset, listing, name_cache
from mmdecouple.datasets.listing import PathList, list_images
from mmdecouple.datasets.names import NameFile
from mmdecouple.utils.errors import UserError

UNUSUAL = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(['', '\udcff.jpg', 'a\nb', 'é/ü.jpg'])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Cache folder of a process to which five names are many and no change is too recent."""
    monkeypatch.setenv('MMDECOUPLE_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(name_cache, 'LARGEST_UNSHARED', 4)
    monkeypatch.setattr(name_cache, '_SETTLED', -1.0)
    return tmp_path / 'cache' / 'lists'


@pytest.fixture
def listed(tmp_path):
    path = tmp_path / 'list.txt'
    path.write_text('\n'.join(f'{index}.jpg' for index in range(9)))
    return path


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / 'images'
    for name in ('a.jpg', 'a/1.jpg', 'a/b/2.jpg', 'a-b/3.jpg', 'c/4.jpg', 'c/5.txt', 'é.png'):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'x')
    (root / 'empty').mkdir()
    (root / 'gone.jpg').symlink_to('nowhere.jpg')
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / '6.jpg').write_bytes(b'x')
    (root / 'b').symlink_to('../elsewhere')
    return root


def names_of(path):
    return list(list_images('', str(path), ''))


def walked(root):
    return [os.path.relpath(path, root) for path in list_images('', None, str(root))]


def images_below(root):
    """What a walk finds, by other means; all links to folders lead elsewhere."""
    paths = [os.path.join(at, name) for at, _, names in os.walk(root, followlinks=True) for name in names]
    return sorted(os.path.relpath(path, root) for path in paths if path[-3:] in ('jpg', 'png') and os.path.exists(path))


def refuse_reading(monkeypatch):
    def read(*args):
        raise AssertionError('the source is read again')

    monkeypatch.setattr(listing.ListFile, 'read', read)
    monkeypatch.setattr(listing.FolderOfImages, 'read', read)


@settings(max_examples=100, deadline=None)
@given(st.lists(UNUSUAL, max_size=30), st.slices(30))
def test_any_names_come_back_from_a_file_also_from_a_pickled_one(names, part):
    for found in (NameFile.of(names), pickle.loads(pickle.dumps(NameFile.of(names)))):
        assert list(found) == names and [found[index] for index in range(len(found))] == names
        assert found[part] == names[part] and (not names or found[-1] == names[-1])
        with pytest.raises(IndexError):
            found[len(names)]


@settings(max_examples=100, deadline=None)
@given(st.lists(UNUSUAL, max_size=4), st.lists(UNUSUAL, max_size=4))
def test_the_digest_tells_lists_apart_also_by_where_a_name_ends(one, other):
    assert (NameFile.of(one).digest == NameFile.of(other).digest) is (one == other)
    assert NameFile.of(['ab', 'c']).digest != NameFile.of(['a', 'bc']).digest


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.sampled_from('abé \t\r\n\u3000\x85') | st.characters(codec='utf-8')), block=st.integers(1, 9))
def test_a_list_read_in_blocks_of_any_size_has_the_lines_of_the_whole(tmp_path, monkeypatch, text, block):
    path = tmp_path / 'list.txt'
    path.write_bytes(('ab\n' + text).encode())
    monkeypatch.setattr(listing, '_BLOCK', block)
    expected = [name for name in map(str.strip, ('ab\n' + text).replace('\r', '\n').split('\n')) if name]
    assert list(listing.open_names(listing.ListFile(str(path)))[0]) == expected


def test_the_place_of_a_wrong_byte_is_that_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, '_BLOCK', 8)
    (tmp_path / 'list.txt').write_bytes(b'12345.jpg\n' * 5 + b'\xe9.jpg\n')
    with pytest.raises(UserError, match='not UTF-8: byte 50 is 0xe9'):
        names_of(tmp_path / 'list.txt')


def test_a_short_list_leaves_no_file(tmp_path, listed, folder, monkeypatch):
    monkeypatch.setenv('MMDECOUPLE_CACHE', str(tmp_path / 'cache'))
    assert len(names_of(listed)) == 9 and walked(folder) == images_below(folder)
    assert not (tmp_path / 'cache').exists()


def test_a_long_list_is_read_once_and_shared(cache, listed, folder, monkeypatch):
    expected = [f'{index}.jpg' for index in range(9)]
    first, walk = list_images('', str(listed), ''), walked(folder)
    assert list(first) == expected and walk == images_below(folder) and len(walk) == 7
    assert len(list(cache.glob('*.names'))) == len(list(cache.glob('*.json'))) == 2
    refuse_reading(monkeypatch)
    assert names_of(listed) == expected and walked(folder) == walk
    (listed.parent / 'link.txt').symlink_to(listed)
    assert names_of(listed.parent / 'link.txt') == expected
    assert list(pickle.loads(pickle.dumps(first))) == expected


def test_a_list_changed_without_another_size_or_date_is_read_again(cache, listed):
    status, text = listed.stat(), listed.read_text()
    first = list_images('', str(listed), '')
    listed.write_text(text.replace('3.jpg', '3.png'))
    os.utime(listed, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listed.stat().st_size == status.st_size and listed.stat().st_mtime_ns == status.st_mtime_ns
    second = list_images('', str(listed), '')
    assert second[3] == '3.png' and second.digest != first.digest
    assert first[3] == '3.jpg'  # a run that reads the earlier file is not disturbed


def test_what_has_just_changed_is_read_at_every_start(cache, listed, monkeypatch):
    monkeypatch.setattr(name_cache, '_SETTLED', 60.0)
    names_of(listed)
    refuse_reading(monkeypatch)
    with pytest.raises(AssertionError, match='read again'):
        names_of(listed)


CHANGES = {
    'an image is added': lambda root: (root / 'a' / 'b' / '7.jpg').write_bytes(b'x'),
    'an image is removed': lambda root: (root / 'c' / '4.jpg').unlink(),
    'an image is renamed': lambda root: (root / 'c' / '4.jpg').rename(root / 'c' / '8.jpg'),
    'an empty folder is filled': lambda root: (root / 'empty' / '9.jpg').write_bytes(b'x'),
    'a folder is added': lambda root: (root / 'd').mkdir() or (root / 'd' / '1.jpg').write_bytes(b'x'),
    'a folder is moved': lambda root: (root / 'c').rename(root / 'a' / 'c'),
    'a linked folder changes': lambda root: (root.parent / 'elsewhere' / '7.jpg').write_bytes(b'x'),
    'a linked folder is replaced': lambda root: (
        (root.parent / 'elsewhere').rename(root.parent / 'other')
        or (root.parent / 'elsewhere').mkdir()
        or (root.parent / 'elsewhere' / '1.png').write_bytes(b'x')
    ),
    'a broken link is repaired': lambda root: (root / 'a' / '..' / 'nowhere.jpg').write_bytes(b'x'),
    'a broken link elsewhere is repaired': lambda root: (root.parent / 'far.jpg').write_bytes(b'x'),
}


@pytest.mark.parametrize('change', CHANGES)
def test_a_change_below_a_folder_is_found(cache, folder, change):
    (folder / 'far.jpg').symlink_to('../far.jpg')
    before = walked(folder)
    assert before == images_below(folder)
    CHANGES[change](folder)
    after = walked(folder)
    assert after == images_below(folder) and after != before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.lists(st.sampled_from(['a', 'a.', 'a-', 'a0', 'B', 'é']), min_size=1, max_size=4).map(tuple)))
def test_the_order_of_a_walk_is_that_of_the_sorted_paths(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp('tree')
    for part in {*parts, ('a',)}:
        path = root.joinpath(*part[:-1], f'{part[-1]}.jpg')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')
    assert walked(root) == images_below(root)


def spoil_json(text):
    return lambda cache: next(cache.glob('*.json')).write_text(text)


def edited(**facts):
    def edit(cache):
        path = next(cache.glob('*.json'))
        path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))

    return edit


def spoil_names(change):
    def spoil(cache):
        path = next(cache.glob('*.names'))
        path.write_bytes(change(path.read_bytes()))

    return spoil


@pytest.mark.parametrize(
    'spoil',
    [
        spoil_json(''),
        spoil_json('[]'),
        spoil_json('\0' * 50),
        edited(version=99),
        edited(source=dict(kind='file', path='/other')),
        edited(count=-1),
        edited(count=8),
        edited(size=10**30),
        edited(states={}),
        edited(file='../../list.txt'),
        edited(file='absent.names'),
        spoil_names(lambda data: data[:-1]),
        spoil_names(lambda data: data + b'x'),
        spoil_names(lambda data: b'\0' * len(data)),
        spoil_names(lambda data: b''),
    ],
)
def test_a_damaged_or_foreign_file_in_the_cache_is_written_again(cache, listed, spoil):
    expected = names_of(listed)
    spoil(cache)
    assert names_of(listed) == expected
    assert [names_of(listed) for _ in range(2)] == [expected] * 2


def test_damage_in_the_middle_of_a_file_is_one_line_and_no_wrong_name(cache, listed):
    found = list_images('', str(listed), '')
    path = next(cache.glob('*.names'))
    data = path.read_bytes()
    starts = data.index(b'\0')
    path.write_bytes(data[: starts + 20] + b'\xff' * 16 + data[starts + 36 :])
    with pytest.raises(UserError, match=f'{path} is damaged; remove it and start again') as caught:
        list(found)
    assert '\n' not in str(caught.value)
    path.write_bytes(data[:20])
    with pytest.raises(UserError, match='is damaged'):
        found[8]


def test_a_cache_that_cannot_be_written_costs_a_warning_only(cache, listed, monkeypatch, capfd):
    monkeypatch.setenv('MMDECOUPLE_CACHE', str(listed))
    assert len(names_of(listed)) == 9
    assert 'Each process reads list.txt on its own' in ''.join(capfd.readouterr())


def test_old_files_of_a_list_are_removed_after_a_month(cache, listed):
    names_of(listed)
    first = next(cache.glob('*.names'))
    for number in range(2):
        listed.write_text(listed.read_text() + f'\nnew{number}.jpg')
        assert len(names_of(listed)) == 10 + number
    assert first.exists() and len(list(cache.glob('*.names'))) == 3
    os.utime(first, (0, 0))
    listed.write_text(listed.read_text() + '\nlast.jpg')
    names_of(listed)
    assert not first.exists() and len(list(cache.glob('*.names'))) == 3


def test_progress_has_a_total_and_the_place_is_named(cache, listed, folder, monkeypatch, capfd):
    monkeypatch.setattr(name_cache, '_QUIET', 0.0)
    monkeypatch.setattr(listing, '_MIB', 1)
    names_of(listed), walked(folder)
    out = ''.join(capfd.readouterr())
    shown = [json.loads(line) for line in out.splitlines() if line.startswith('{')]
    assert (shown[0]['progress'], shown[0]['done'], shown[0]['total']) == ('list.txt: MiB', 53, 53)
    assert shown[-1]['progress'] == f'{folder}: folders' and shown[-1]['done'] == shown[-1]['total'] == 7
    assert f'9 names of list.txt are kept in {cache}' in out


def open_slowly(path, seconds, said):
    read = listing.ListFile.read

    def slowly(self, limit, show):
        if limit is None:
            said.put('reads')
            time.sleep(seconds)
        return read(self, limit, show)

    listing.ListFile.read = slowly
    found = list_images('', path, '')
    said.put((len(found), found.digest))


def start(path, seconds):
    forked = multiprocessing.get_context('fork')
    said = forked.SimpleQueue()
    process = forked.Process(target=open_slowly, args=(str(path), seconds, said))
    process.start()
    return process, said


def test_of_several_processes_one_reads_and_a_killed_one_leaves_nothing(cache, listed):
    killed, said = start(listed, 60)
    assert said.get() == 'reads'
    others = [start(listed, 0.5) for _ in range(3)]
    killed.kill()
    killed.join()
    answers = []
    for process, said in others:
        process.join()
        while not said.empty():
            answers.append(said.get())
    assert answers.count('reads') == 1 and answers.count((9, list_images('', str(listed), '').digest)) == 3
    assert len(list(cache.glob('*.names'))) == 1 and not list(cache.glob('.*'))


def test_a_list_takes_the_same_memory_whatever_its_length(tmp_path):
    def taken(count):
        path = tmp_path / f'{count}.txt'
        path.write_text('\n'.join(f'train/{index}.jpg' for index in range(count)))
        tracemalloc.start()
        try:
            dataset = ImageDataset([], str(tmp_path), path.name, 's3://bucket')
            return len(dataset), tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()

    taken(10)
    (few, small), (many, large) = taken(10), taken(30_000)
    assert (few, many) == (10, 30_000) and large - small < 2**15


@pytest.mark.parametrize('few', [10, 1000])
@pytest.mark.parametrize('share, refused', [(0.0, True), (0.05, True), (0.2, False)])
def test_missing_images_are_counted_in_all_or_at_many_places(tmp_path, monkeypatch, few, share, refused):
    monkeypatch.setattr(listing, '_FEW', few)
    monkeypatch.setattr(listing, '_MOST_LOOKED_UP', 50)
    for index in range(100):
        if index % 10:
            (tmp_path / f'{index}.jpg').write_bytes(b'x')
    (tmp_path / 'list.txt').write_text('\n'.join(f'{index}.jpg' for index in range(100)))
    if refused:
        with pytest.raises(FileNotFoundError, match="10 of the 100 images do not exist, the first is '.*/0.jpg'"):
            ImageDataset([], str(tmp_path), 'list.txt', max_bad_share=share)
    else:
        assert len(ImageDataset([], str(tmp_path), 'list.txt', max_bad_share=share)) == 100


def test_names_written_on_windows_are_looked_up_when_they_are_used(tmp_path):
    paths = PathList(str(tmp_path), NameFile.of(['a\\1.jpg']))
    assert paths[0] == str(tmp_path / 'a/1.jpg')
    (tmp_path / 'a\\1.jpg').write_bytes(b'x')
    assert paths[0] == str(tmp_path / 'a\\1.jpg') == next(iter(paths)) == paths[:][0]

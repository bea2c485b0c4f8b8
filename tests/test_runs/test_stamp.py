"""Which run a folder holds: told by the stamp, also by those of version 0.1."""

import json

import pytest

from mmdecouple.runs.stamp import Stamp
from mmdecouple.utils.digests import digest_of
from mmdecouple.utils.errors import UserError
from mmdecouple.utils.locks import alone


def test_a_run_goes_on_in_its_folder_and_another_one_is_refused(tmp_path):
    stamp = Stamp(tmp_path / 'run', 'a')
    assert stamp.finished() is None
    for _ in range(2):
        stamp.claim('give another folder')
    assert stamp.finished() is None
    with pytest.raises(UserError, match=r'run holds a run of another .*; give another folder\.'):
        Stamp(tmp_path / 'run', 'b').claim('give another folder')
    stamp.finish(checkpoint='iter_9.pth')
    stamp.claim('give another folder')
    assert stamp.finished()['checkpoint'] == 'iter_9.pth'
    assert Stamp(tmp_path / 'run', 'b').finished() is None


@pytest.mark.parametrize(
    'name, content, finished',
    [
        ('demo.json', dict(key='a', finished=True), True),
        ('demo.json', dict(key='a', finished=False), False),
        ('transfer.json', dict(identity='a'), False),
        ('run.json', dict(key='a', iterations=3), True),
    ],
)
def test_stamps_of_an_earlier_version_are_understood(tmp_path, name, content, finished):
    (tmp_path / name).write_text(json.dumps(content))
    assert (Stamp(tmp_path, 'a').finished() is not None) == finished
    Stamp(tmp_path, 'a').claim('')
    with pytest.raises(UserError, match='another'):
        Stamp(tmp_path, 'b').claim('')


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"identity"'])
def test_a_damaged_stamp_is_named_in_one_line(tmp_path, text):
    (tmp_path / 'run.json').write_text(text)
    with pytest.raises(UserError, match=r'run\.json does not state which run .* remove the folder'):
        Stamp(tmp_path, 'a').claim('')


def test_the_identity_of_a_run_is_the_one_that_version_0_1_gave():
    # From `hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())`; folders are found by it.
    assert digest_of([dict(b=(1, 2.5), a=None), 'x', range(2)]) == (
        '3d2ac3f469fb8e8b4f35325854f919a41bab8a2a84daec35667bdf32a7fe34f1'
    )


def test_a_lock_is_free_as_soon_as_it_is_let_go(tmp_path):
    path, waited = tmp_path / 'new' / '.lock', []
    with alone(path, 'busy', wait=0), pytest.raises(UserError, match='busy'):
        with alone(path, 'busy', wait=0.1, on_wait=lambda: waited.append(1)):
            pass
    assert waited == [1]
    with alone(path, 'busy', wait=0) as file:
        assert not file.closed

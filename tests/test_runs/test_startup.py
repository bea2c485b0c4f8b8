"""What is global to a process is set by its entry point, not by imports."""

import subprocess
import sys

PROGRAM = """
import warnings, cv2
from mmengine.fileio.backends import backends
from mmengine.runner.checkpoint import CheckpointLoader
loaders, level = dict(CheckpointLoader._schemes), cv2.getLogLevel()
import mmdecouple.{room}
assert 'atomic' not in backends and CheckpointLoader._schemes == loaders and cv2.getLogLevel() == level
assert not any(entry[1] and 'faster_coco_eval' in entry[1].pattern for entry in warnings.filters)
from mmdecouple.runs.startup import prepare_process
for _ in range(2):
    prepare_process()
assert 'atomic' in backends and CheckpointLoader._schemes != loaders and cv2.getLogLevel() == 0
assert sum(bool(entry[1]) and 'faster_coco_eval' in entry[1].pattern for entry in warnings.filters) == 1
"""


def test_imports_change_nothing_for_others():
    for room in ('engine', 'downstream'):
        subprocess.run([sys.executable, '-W', 'ignore', '-c', PROGRAM.format(room=room)], check=True)

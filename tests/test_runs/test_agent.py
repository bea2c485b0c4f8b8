import os
import signal
import subprocess
import sys
import time

from mmdecouple.utils.files import is_running

from .processes import fork

RANK = """
import os, signal, sys, time
from mmdecouple.runs.agent import end_with_agent
if sys.argv[2] == 'polite':
    signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1] + '.saved', 'w').close(), os._exit(0)))
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
end_with_agent()
with open(sys.argv[1] + '.tmp', 'w') as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + '.tmp', sys.argv[1])
time.sleep(60)
"""


def start_rank(path, manner, wrapped):
    """An agent, dead already, and the rank that it started; the rank's process id."""
    command = [sys.executable, '-c', RANK, str(path), manner]
    if wrapped:
        command = ['sh', '-c', '"$@"; exit 0', 'sh', *command]

    def agent():
        subprocess.Popen(command, env=dict(os.environ, TORCHELASTIC_RUN_ID='7'))
        time.sleep(60)

    child = fork(agent)
    while not path.exists():
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int(path.read_text())


def test_ranks_end_within_ten_seconds_of_their_agents_death(tmp_path):
    begin = time.monotonic()
    ranks = [
        start_rank(tmp_path / f'{manner}{wrapped}', manner, wrapped)
        for manner in ('polite', 'stubborn')
        for wrapped in (False, True)
    ]
    while any(map(is_running, ranks)):
        assert time.monotonic() - begin < 10
        time.sleep(0.1)
    assert len(list(tmp_path.glob('polite*.saved'))) == 2


def test_a_run_without_an_agent_outlives_its_shell(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', '')
    code = RANK.replace('end_with_agent()\n', 'os.environ.pop("TORCHELASTIC_RUN_ID"); end_with_agent()\n', 1)
    monkeypatch.setattr(f'{__name__}.RANK', code)
    process = start_rank(tmp_path / 'polite', 'polite', False)
    time.sleep(2)
    assert is_running(process)
    os.kill(process, signal.SIGKILL)

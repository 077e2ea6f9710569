"""Secrets that lie in files: read with bounds, and not at all where everybody could read them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .sip.digest import Algorithm

MAX_SECRET_BYTES = 4_096
MAX_USERS_BYTES = 16 << 20
_HA1_CHARS = {32: Algorithm.MD5, 64: Algorithm.SHA_256}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Users:
    """A `Lookup` in a fixed table of HA1s, which no repr shows."""

    table: Mapping[tuple[str, Algorithm], str] = field(repr=False)

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """What every user has a hash for, the strongest first: who is challenged picks any."""
        users = {user for user, _ in self.table}
        return tuple(
            algorithm
            for algorithm in (Algorithm.SHA_256, Algorithm.MD5)
            if all((user, algorithm) in self.table for user in users)
        )

    def __call__(self, user: str, algorithm: Algorithm) -> str | None:
        return self.table.get((user, algorithm))


class SecretError(ValueError):
    """A secret cannot be had; the message is one line with cause and remedy, and never a secret."""


def read_secret(path: Path) -> str:
    """The first line of a file, which is a secret."""
    line = _read(path, MAX_SECRET_BYTES).split("\n", 1)[0].rstrip("\r")
    if not line:
        raise SecretError(f"{path} is empty; put the secret into its first line")
    return line


def environment_secret(name: str, environment: Mapping[str, str]) -> str:
    """The value of an environment variable."""
    value = environment.get(name, "")
    if not value:
        raise SecretError(f"the environment has no {name}; set it where ringwheel is started")
    return value


def read_users(path: Path, realm: str) -> Users:
    """The users of a realm: a file of lines ``USER:REALM:HA1``, as ``htdigest`` writes it.

    HA1 is the MD5 or SHA-256 hash of ``USER:REALM:PASSWORD`` in hexadecimal digits; a user may have
    a line for each. Lines of other realms, empty ones and those that begin with ``#`` are left out.
    SecretError: there is none, or the file is not as it should be.
    """
    table: dict[tuple[str, Algorithm], str] = {}
    for number, line in enumerate(_read(path, MAX_USERS_BYTES).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, _, rest = line.partition(":")
        of_realm, _, ha1 = rest.rpartition(":")
        ha1 = ha1.strip().lower()
        algorithm = _HA1_CHARS.get(len(ha1))
        if not user or not of_realm or algorithm is None or not _HEX.issuperset(ha1):
            raise SecretError(f"{path}, line {number}: write USER:REALM:HASH, as htdigest does")
        if of_realm == realm:
            table[user, algorithm] = ha1
    if not table:
        raise SecretError(f"{path} has no user of the realm {realm!r}; add one with htdigest")
    users = Users(table)
    if not users.algorithms:
        raise SecretError(f"{path}: neither MD5 nor SHA-256 for all users; give each the same kind")
    return users


def _read(path: Path, limit_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(limit_bytes + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise SecretError(f"{path} cannot be read: {error.strerror}; check the path") from None
    if not stat.S_ISREG(mode):
        raise SecretError(f"{path} is no file; name one")
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SecretError(f"{path} is open to others than its owner; run chmod 600 {path}")
    if len(data) > limit_bytes:
        raise SecretError(f"{path} is larger than {limit_bytes:,} bytes; name another file")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"{path} is no text in UTF-8; write it anew") from None

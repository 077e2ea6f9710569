"""Packs: a script with its sound files and grammars as one archive, checked when it is read.

It is a zip archive whose members are stored, in order, with one date: so the same content is the
same bytes everywhere, and nothing in it can be larger than the archive itself. ``manifest.json``
has the SHA-256 of every member, and that of the whole, which names the pack. Nothing is taken out
before all of it was found to be so.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

from .compiled import Compiled
from .expressions import Template
from .model import Ask, FilePrompt, Prompt, Prompts, Script, Step, TextPrompt
from .place import NOWHERE
from .problems import Problem, ScriptError
from .prompting import inside
from .walk import parts

VERSION = 1
MANIFEST = "manifest.json"
RENDERED = "rendered"
SUFFIX = ".rwpack"
MAGIC = b"PK\x03\x04"
SOUNDS = frozenset({".wav", ".flac", ".ogg", ".mp3", ".ulaw", ".alaw"})
MOST_FILES = 10_000
MOST_FILE_BYTES = 64 << 20
MOST_BYTES = 512 << 20
MOST_MANIFEST_BYTES = 4 << 20
MOST_DIRECTORY_BYTES = MOST_FILES << 10
_DATE = (1980, 1, 1, 0, 0, 0)
_END = struct.Struct("<20x4s6xHIIH")
"""The end of an archive, and before it the place where that of a larger form (zip64) is told."""
_END_BYTES = _END.size - 20
_END_MAGIC, _LARGER_MAGIC, _ENTRY_MAGIC = b"PK\5\6", b"PK\6\7", b"PK\1\2"


class PackError(Exception):
    """A pack cannot be made. The text says why, and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class Said:
    """A text that is always the same, as it is spoken."""

    text: str
    locale: str
    voice: str
    ssml: bool

    @property
    def file(self) -> str:
        """Where its sound lies in a pack."""
        content = json.dumps([self.text, self.locale, self.voice, self.ssml])
        return f"{RENDERED}/{hashlib.sha256(content.encode()).hexdigest()[:32]}.wav"


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack that was written: its hash, how many files are in it, and their size together."""

    hash: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A pack that was read: its script in ``folder``, and what it is called there."""

    folder: Path
    script: str
    hash: str


def texts_of(script: Script) -> tuple[Said, ...]:
    """The texts of a script, and of those that it hands over to, that are always the same: they can
    be spoken beforehand."""
    found = {
        said
        for part in script.all
        for step in part.steps.values()
        for prompt in prompts_in(step)
        if isinstance(prompt, TextPrompt) and (said := _said(prompt, part)) is not None
    }
    return tuple(sorted(found))


def _said(prompt: TextPrompt, script: Script) -> Said | None:
    text = prompt.text.constant
    if text is None:
        return None
    locale, voice = prompt.locale or script.locale, prompt.voice or script.voice or ""
    return Said(text, locale, voice, prompt.ssml)


def prompts_in(value: object) -> Iterator[Prompt]:
    """All prompts in a step."""
    if isinstance(value, TextPrompt | FilePrompt):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from prompts_in(item)
    elif isinstance(value, Step):
        for name in ("prompts", "filler"):
            yield from prompts_in(getattr(value, name, ()))
        if isinstance(value, Ask):
            yield from prompts_in((value.retries.no_input, value.retries.no_match))


# Writing.


def write_pack(
    compiled: Compiled, source: Path, target: Path, rendered: Mapping[Said, bytes]
) -> Packed:
    """Pack a good script and those that it hands over to, with texts that were spoken beforehand.
    PackError, OSError."""
    script = compiled.script
    assert script is not None
    files = {source.name: compiled.data, **compiled.files}
    for key, other in compiled.others.items():
        folder = PurePosixPath(key).parent
        files[key] = other.data
        files |= {str(folder / name): data for name, data in other.files.items()}
    for part in script.all:
        for name, path in _sounds(part, source.parent):
            files[name] = _read(path)
    files |= {said.file: data for said, data in rendered.items()}
    _check_bounds(files)
    listed = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    }
    manifest = {
        "ringwheel-pack": VERSION,
        "script": source.name,
        "files": listed,
        "hash": _hash_of(source.name, listed),
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    _write({MANIFEST: text.encode(), **dict(sorted(files.items()))}, target)
    return Packed(str(manifest["hash"]), len(files), sum(map(len, files.values())))


def _sounds(script: Script, folder: Path) -> Iterator[tuple[str, Path]]:
    """The sound files of a script, by their names from its folder."""
    base = Path(script.base)
    files = [part for step in script.steps.values() for part in parts(step)]
    paths = {part.path.constant for part in files if isinstance(part, FilePrompt)}
    if None in paths:
        # Which files an expression names is known in a call only: all of them go along.
        if base.resolve() == folder.resolve():
            raise PackError(
                "a sound file is named by an expression: keep sound files in a folder of their "
                "own, and name it by `prompts:`, so that all of them can be packed"
            )
        found = (path for path in sorted(base.rglob("*")) if path.suffix.lower() in SOUNDS)
        paths |= {path.relative_to(base).as_posix() for path in found}
    for path in sorted(path for path in paths if path is not None):
        name = _inner_name(base / path, folder)
        yield name, base / path


def _inner_name(path: Path, folder: Path) -> str:
    name = os.path.normpath(os.path.relpath(path, folder)).replace(os.sep, "/")
    if not inside(name):
        raise PackError(f"{path} lies outside of the script's folder: move it into it")
    return name


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MOST_FILE_BYTES + 1)
    if len(data) > MOST_FILE_BYTES:
        raise PackError(f"{path} has more than {MOST_FILE_BYTES >> 20} MiB")
    return data


def _check_bounds(files: Mapping[str, bytes]) -> None:
    if len(files) >= MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
        raise PackError(f"a pack has at most {MOST_FILES} files and {MOST_BYTES >> 20} MiB")
    if MANIFEST in files:
        raise PackError(f"no file of a script may be called {MANIFEST}")


def _hash_of(script: str, listed: Mapping[str, Any]) -> str:
    content = json.dumps([VERSION, script, listed], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def _write(files: Mapping[str, bytes], target: Path) -> None:
    """Write the archive. PackError: it cannot be written there."""
    try:
        _put(files, target)
    except OSError as error:
        # Its own text has a name that nobody has given.
        cause = error.strerror or error
        raise PackError(f"{target}: {cause}; choose another place") from None


def _put(files: Mapping[str, bytes], target: Path) -> None:
    """Write the archive, and put it into its place when it is whole."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial:
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                for name, data in files.items():
                    member = zipfile.ZipInfo(name, _DATE)
                    member.create_system = 3
                    member.external_attr = 0o644 << 16
                    archive.writestr(member, data)
            partial.flush()
            os.fsync(partial.fileno())
            os.fchmod(partial.fileno(), 0o644)
            Path(partial.name).replace(target)
        except BaseException:
            Path(partial.name).unlink(missing_ok=True)
            raise


# Reading.


def is_pack(begin: bytes) -> bool:
    """Whether a file that begins so is a pack."""
    return begin.startswith(MAGIC)


def open_pack(path: Path, cache: Path) -> Opened:
    """Check a pack, and take its files into a folder of ``cache``. ScriptError."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            _check_end(file, size)
            with zipfile.ZipFile(file) as archive:
                manifest, files = _contents(archive, size)
    except _Refused as error:
        raise _error(path, str(error)) from None
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
        raise _error(path, f"it is no archive that can be read: {error}") from None
    folder = cache / manifest["hash"]
    try:
        _take_out(files, folder)
    except OSError as error:
        raise _error(path, f"its files cannot be kept in {folder}: {error.strerror}") from None
    return Opened(folder, manifest["script"], manifest["hash"])


class _Refused(Exception):
    """A pack is not what a pack should be."""


def _error(path: Path, cause: str) -> ScriptError:
    return ScriptError(str(path), [Problem("pack", NOWHERE, cause, "Pack the script again")])


def _check_end(file: IO[bytes], size: int) -> None:
    """Refuse an archive by its end, before its directory is read: each entry of that costs some
    microseconds and hundreds of bytes, and a file of somebody else's may have millions."""
    if size > MOST_BYTES + MOST_DIRECTORY_BYTES:
        raise _Refused("it is too large")
    if size < _END.size:
        raise _Refused("it is no archive that can be read: it is too short")
    file.seek(size - _END.size)
    data = file.read(_END.size)
    magic, entries, directory_bytes, _, comment_bytes = _END.unpack(data)
    if magic != _END_MAGIC or comment_bytes or data.startswith(_LARGER_MAGIC):
        raise _Refused("it does not end as a pack does")
    if entries > MOST_FILES or directory_bytes > MOST_DIRECTORY_BYTES:
        raise _Refused(f"it has more than {MOST_FILES} files, or their names are too long")
    if directory_bytes > size - _END_BYTES:
        raise _Refused("it is no archive that can be read: its directory is larger than it is")
    file.seek(size - _END_BYTES - directory_bytes)
    if file.read(directory_bytes).count(_ENTRY_MAGIC) != entries:
        raise _Refused("its directory has other entries than it says")


def _contents(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and all files, each found to be what the manifest says."""
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(set(names)) != len(names) or names[:1] != [MANIFEST]:
        raise _Refused("its members are not those of a pack")
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        if not stored or member.compress_size != member.file_size:
            raise _Refused(f"{member.filename[:60]!r} is not stored plainly")
        if not inside(member.filename) or member.filename.endswith("/"):
            raise _Refused(f"{member.filename[:60]!r} lies outside of it")
    # Members that overlap could be more together than the archive has.
    if sum(member.file_size for member in members) > size:
        raise _Refused("its members overlap")
    manifest = _manifest(archive, members[0])
    listed: dict[str, Any] = manifest["files"]
    if sorted(names[1:]) != sorted(listed):
        raise _Refused("it has other files than its manifest")
    files = {name: archive.read(name) for name in names[1:]}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != listed[name].get("sha256"):
            raise _Refused(f"{name[:60]!r} is not what it was when it was packed")
    return manifest, files


def _manifest(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    if member.file_size > MOST_MANIFEST_BYTES:
        raise _Refused("its manifest is too large")
    try:
        found = json.loads(archive.read(member))
    except (ValueError, RecursionError):
        raise _Refused("its manifest is no JSON") from None
    manifest: dict[str, Any] = found if isinstance(found, dict) else {}
    listed, script = manifest.get("files"), manifest.get("script")
    good = isinstance(listed, dict) and all(isinstance(row, dict) for row in listed.values())
    known = manifest.get("ringwheel-pack") == VERSION
    if not known or not good or not isinstance(script, str) or script not in (listed or ()):
        raise _Refused(f"its manifest is not one of version {VERSION}")
    if manifest.get("hash") != _hash_of(script, listed or {}):
        raise _Refused("its hash is not that of its files")
    return manifest


def _take_out(files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files where they are not yet, as a whole: others may do the same."""
    if _is_there(files, folder):
        return
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".new-"))
    try:
        for name, data in files.items():
            target = fresh / PurePosixPath(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        if folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        try:
            fresh.replace(folder)
        except OSError:
            # Somebody else was faster with the same pack.
            if not _is_there(files, folder):
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_there(files: Mapping[str, bytes], folder: Path) -> bool:
    """Whether the files are there as they should be; somebody may have changed them."""
    try:
        return all((folder / name).read_bytes() == data for name, data in files.items())
    except OSError:
        return False


# What was spoken beforehand.


def with_rendered(script: Script, folder: Path) -> Script:
    """The script with the sound files of a pack in the place of texts that were spoken for it."""
    others = {key: with_rendered(other, folder) for key, other in script.others.items()}
    script = replace(script, others=others) if others else script
    swap = _Swap(script, folder)
    steps = {id_: swap.step(step) for id_, step in script.steps.items()}
    return replace(script, steps=steps) if swap.swapped else script


class _Swap:
    def __init__(self, script: Script, folder: Path) -> None:
        self.swapped = 0
        self._script = script
        self._folder = folder.resolve()

    def step(self, step: Step) -> Step:
        changes: dict[str, Any] = {
            name: self._prompts(getattr(step, name))
            for name in ("prompts", "filler")
            if hasattr(step, name)
        }
        if isinstance(step, Ask):
            changes["retries"] = replace(
                step.retries,
                no_input=tuple(map(self._prompts, step.retries.no_input)),
                no_match=tuple(map(self._prompts, step.retries.no_match)),
            )
        return replace(step, **changes) if changes else step

    def _prompts(self, prompts: Prompts) -> Prompts:
        return tuple(self._prompt(prompt) for prompt in prompts)

    def _prompt(self, prompt: Prompt) -> Prompt:
        said = _said(prompt, self._script) if isinstance(prompt, TextPrompt) else None
        if said is None or not (self._folder / said.file).is_file():
            return prompt
        assert isinstance(prompt, TextPrompt)
        self.swapped += 1
        path = Template.parse(str(self._folder / said.file).replace("${", "$${"), NOWHERE)
        return FilePrompt(path, prompt.text)

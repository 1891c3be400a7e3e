"""Recordings on disk. Each has a key of its own, encrypted with the operator's key; without it nobody can read them.

    DIR/{session}.json      the manifest: when it began and ends, and its encrypted key
    DIR/{session}.data      blocks: length, then AES-256-GCM of one kind letter and the content

Each block is authenticated with its session and its number, so that a changed, moved or missing block is noticed; the
last one is marked as the last. Deleting overwrites the encrypted key first. What a disk or a backup of the data still
holds can then be read by nobody.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import hmac
import json
import os
import re
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from realtime.errors import BadRecording, BadSettings, UnknownSession

KEY_BYTES = 32
NONCE_BYTES = 12
DAY_S = 86_400.0
MAX_BLOCK_BYTES = 16 << 20
SESSION = re.compile(r"([0-9A-Za-z]{1,16}-)?[0-9a-f]{32}")
"A session's id as `Session` makes it, after the name of its server where there is one (`server.node`)."
LENGTH = struct.Struct(">I")
EVENT, PICTURE, SOUND, END = b"e", b"p", b"s", b"."


def new_key(file: Path) -> None:
    """Write a new key to a file that only its owner can read. Never overwrites one (raises FileExistsError)."""
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:  # noqa: PTH123
        out.write(base64.b64encode(AESGCM.generate_key(KEY_BYTES * 8)) + b"\n")


def _write_down(folder: Path) -> None:
    """Have the disk take what was created and deleted in the folder."""
    # Windows opens no folder, and writes such changes down by itself.
    if not hasattr(os, "O_DIRECTORY"):
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def read_key(file: Path) -> bytes:
    """The operator's key in the file. Raises BadSettings."""
    try:
        key = base64.b64decode(file.read_bytes().strip(), validate=True)
    except OSError as error:
        raise BadSettings(
            f"{file} cannot be read: {error.strerror}.", f"Make a key: python -m realtime.recording new-key {file}"
        ) from error
    except binascii.Error as error:
        raise BadSettings(f"{file} holds no key: {error}.", "Make one in another file: new-key FILE") from error
    if len(key) != KEY_BYTES:
        raise BadSettings(f"{file} holds {len(key)} bytes, not {KEY_BYTES}.", "Make a new key in another file.")
    return key


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is written unencrypted about a recording. Its key can only be decrypted while nothing of it is changed."""

    session: str
    began_s: float
    ends_s: float
    "Wall time (s since 1970) from which it must no longer be there."
    owner: str
    "SHA-256 of the session's secret. Whoever brings the secret may delete the recording."

    def bound(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


class Vault:
    """The folder of recordings. Blocking, safe to use from one process at a time."""

    def __init__(self, folder: Path, key: bytes, *, days: float, now_s: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._lock = AESGCM(key)
        self._days = days
        self._now_s = now_s
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            probe = folder / f".{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadSettings(f"{folder} cannot be written: {error.strerror}.", "Name a folder of your own.") from error

    def begin(self, session: str, secret: str) -> RecordingWriter:
        """Begin the recording of a session. Raises OSError, as its `add` does, and then leaves nothing behind."""
        now_s = self._now_s()
        manifest = Manifest(session, now_s, now_s + self._days * DAY_S, hashlib.sha256(secret.encode()).hexdigest())
        key, nonce = AESGCM.generate_key(KEY_BYTES * 8), os.urandom(NONCE_BYTES)
        locked = self._lock.encrypt(nonce, key, manifest.bound())
        told = {**asdict(manifest), "key": base64.b64encode(nonce + locked).decode()}
        try:
            self._manifest_file(session).write_text(json.dumps(told) + "\n", encoding="utf-8")
            return RecordingWriter(session, key, self._data(session).open("xb"))
        except OSError:
            # A full disk leaves half a manifest, which opens nothing.
            self._manifest_file(session).unlink(missing_ok=True)
            raise

    def sessions(self) -> Iterator[str]:
        yield from (file.stem for file in sorted(self._folder.glob("*.json")) if SESSION.fullmatch(file.stem))

    def manifest(self, session: str) -> Manifest:
        """The manifest of a recording. Raises UnknownSession, and BadRecording when it cannot be read."""
        return self._open(session)[0]

    def read(self, session: str) -> Iterator[tuple[bytes, bytes]]:
        """Kind and content of each block. Raises BadRecording where it was tampered with, or broke off."""
        manifest, key = self._open(session)
        cipher = AESGCM(key)
        with self._data(session).open("rb") as file:
            for number in range(1 << 62):
                head = file.read(LENGTH.size)
                length = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else MAX_BLOCK_BYTES + 1
                if length > MAX_BLOCK_BYTES:
                    raise BadRecording(f"{manifest.session} breaks off after {number} blocks.", "It was not closed.")
                try:
                    block = cipher.decrypt(_nonce(number), file.read(length), _bound(session, number))
                except (InvalidTag, ValueError) as error:
                    raise BadRecording(
                        f"Block {number} of {manifest.session} was changed.", "Do not trust it."
                    ) from error
                if block[:1] == END:
                    return
                yield block[:1], block[1:]

    def delete(self, session: str) -> None:
        """Delete a recording. Raises UnknownSession, and OSError if any of it is still there afterwards."""
        manifest, data = self._manifest_file(session), self._data(session)
        if not SESSION.fullmatch(session) or not (manifest.exists() or data.exists()):
            raise UnknownSession("There is no recording of that session.", "It may have been deleted already.")
        try:
            if manifest.exists():
                with manifest.open("r+b") as file:
                    file.write(os.urandom(manifest.stat().st_size))
                    file.flush()
                    os.fsync(file.fileno())
        finally:
            # Also where a full disk has no room for writing in place, as some file systems do it.
            manifest.unlink(missing_ok=True)
            data.unlink(missing_ok=True)
        _write_down(self._folder)
        if any(self._folder.glob(f"{session}*")):
            raise OSError(errno.EBUSY, "some of it is still there")

    def delete_ended(self) -> int:
        """Delete the recordings that have been kept long enough, and return how many those were.

        Raises OSError if one of them could not be deleted, after the others are.
        """
        ended = [file.stem for file in self._folder.glob("*.json") if self._ends_s(file) <= self._now_s()]
        # A manifest comes before its data and goes before it: without one, a crash has left noise.
        ended += [file.stem for file in self._folder.glob("*.data") if not self._manifest_file(file.stem).exists()]
        n_deleted, failure = 0, None
        for session in ended:
            # Its owner may delete it at this very moment.
            with suppress(UnknownSession):
                try:
                    self.delete(session)
                    n_deleted += 1
                except OSError as error:
                    failure = error
        if failure is not None:
            raise failure
        return n_deleted

    def is_owner(self, session: str, secret: str) -> bool:
        """Whether that secret opened the session. Raises UnknownSession."""
        owner = self._open(session)[0].owner
        return hmac.compare_digest(hashlib.sha256(secret.encode()).hexdigest(), owner)

    def _open(self, session: str) -> tuple[Manifest, bytes]:
        if not SESSION.fullmatch(session) or not self._manifest_file(session).is_file():
            raise UnknownSession("There is no recording of that session.", "It may have been deleted already.")
        try:
            told = json.loads(self._manifest_file(session).read_bytes())
            locked = base64.b64decode(told.pop("key"), validate=True)
            manifest = Manifest(**told)
            return manifest, self._lock.decrypt(locked[:NONCE_BYTES], locked[NONCE_BYTES:], manifest.bound())
        except (InvalidTag, ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadRecording(f"The key of {session} cannot be read.", "Was it made with another --key?") from error

    def _ends_s(self, file: Path) -> float:
        """When the recording ends, read without the key, so that it is deleted in time even when the key is lost."""
        try:
            return float(json.loads(file.read_bytes())["ends_s"]) if SESSION.fullmatch(file.stem) else float("inf")
        except FileNotFoundError:
            return float("inf")
        except (ValueError, TypeError, KeyError):
            return 0.0

    def _manifest_file(self, session: str) -> Path:
        return self._folder / f"{session}.json"

    def _data(self, session: str) -> Path:
        return self._folder / f"{session}.data"


class RecordingWriter:
    """A recording that is being written. Leaving its `with` block writes the last block."""

    def __init__(self, session: str, key: bytes, file: BinaryIO) -> None:
        self._session = session
        self._cipher = AESGCM(key)
        self._file = file
        self.n_blocks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self.add(END, b"")

    def add(self, kind: bytes, content: bytes) -> None:
        sealed = self._cipher.encrypt(_nonce(self.n_blocks), kind + content, _bound(self._session, self.n_blocks))
        self._file.write(LENGTH.pack(len(sealed)) + sealed)
        # A crash loses no block that was added.
        self._file.flush()
        self.n_blocks += 1


def _nonce(number: int) -> bytes:
    """The number of the block. A key encrypts one recording, so no nonce is used twice."""
    return number.to_bytes(NONCE_BYTES, "big")


def _bound(session: str, number: int) -> bytes:
    return f"{session} {number}".encode()

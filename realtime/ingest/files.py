"""Files on this disk, before FFmpeg opens them and after it could not: what they are in place of a recording.

FFmpeg says "Invalid data found" of an empty file, a web page and a pointer alike, and it believes a WAV header that was
written before the sound was.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from realtime.errors import NotMedia

logger = logging.getLogger(__name__)

STANDARD_INPUT = Path("/dev/stdin")
CONVERT_HINT = "Play it in a video player to see whether it is damaged, or convert it: ffmpeg -i IN OUT.mp4"
LFS_POINTER = b"version https://git-lfs"
HEAD = 4096
"Bytes at the beginning of a file that say what it is."
ARCHIVES = {b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "a gzip archive", b"7z\xbc\xaf": "a 7z archive"}
"By their first bytes; documents of office programs are ZIP archives, too."
ANIMATED = 0x02
"The flag of an animation in the header of a WebP picture."
BEYOND_LEAST_S = 0.05
"Less sound beyond the end that a WAV header names is not looked for."
TRAILERS = (b"ID3", b"TAG", b"APETAGEX")
"What some programs append to a WAV file, although it is no chunk."


def file_url(path: str) -> str:
    """The path as FFmpeg reads it for certain: without the prefix, a name with a colon is a protocol to it."""
    return path if path.startswith(("rtsp://", "rtsps://")) else f"file:{path}"


@contextmanager
def standard_input() -> Iterator[str]:
    """A path that the standard input can be read by.

    Linux and macOS have one, and what is piped in is read as it comes. On Windows all of it is copied to a temporary
    file first.
    """
    if STANDARD_INPUT.exists():
        yield str(STANDARD_INPUT)
        return
    # Whatever still reads the file when it is done with keeps Windows from deleting it.
    with tempfile.TemporaryDirectory(prefix="emothinker-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / "stdin"
        with copy.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield str(copy)


def is_pipe(path: Path) -> bool:
    """Whether what the path names is a pipe: it is read once, and whoever looks at its beginning takes that away."""
    try:
        return stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def open_options(path: Path) -> dict[str, str]:
    """FFmpeg's options to open a file with: nothing that it names is fetched, and a WAV file is read to its end."""
    # A playlist must not make the program fetch the addresses in it.
    options = {"protocol_whitelist": "file,crypto,data"}
    if is_pipe(path):
        return options
    beyond_s = beyond_header_s(path)
    if beyond_s > 0.0:
        logger.warning("the header of the WAV file ends %.1f s before its sound does; all of it is read", beyond_s)
        options["ignore_length"] = "1"
    return options


def refuse_unfinished(path: Path) -> None:
    """Raises NotMedia for files that stand for a recording and are none: FFmpeg would only speak of invalid data."""
    if is_pipe(path):
        return
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            _refuse_pointer(path.name, head.removeprefix(b"\xef\xbb\xbf").lstrip())
            if head[4:8] == b"ftyp" and not _has_index(file):
                raise NotMedia(
                    f"{path.name} was never finished: its index (moov) is missing, as after a crash or a full disk.",
                    "Download or copy it again if it came from elsewhere. Otherwise record again, or try a repair "
                    "tool such as untrunc with another recording of the same device.",
                )
    except OSError:
        # Whatever is wrong with the path, opening it says so.
        return


def _refuse_pointer(name: str, head: bytes) -> None:
    if head.startswith(LFS_POINTER):
        raise NotMedia(f"{name} is a git-LFS pointer: the recording itself was not fetched.", "Run: git lfs pull")
    # A path to the contents, as a link is stored where there are no links (git-annex, "unlocked files").
    if b"annex/objects/" in head.partition(b"\n")[0]:
        raise NotMedia(f"{name} is a git-annex pointer: the recording itself was not fetched.", f"git annex get {name}")


def why_unreadable(path: Path) -> NotMedia | None:
    """What a file is that FFmpeg could not read, with what to do; None where it may be damaged media."""
    if is_pipe(path):
        return NotMedia(
            f"What came through the pipe {path} cannot be read as media.",
            "A pipe is read once, from its beginning. MP4, for one, has its index at the end: save it to a file, and "
            "name that.",
        )
    try:
        if path.is_dir():
            return NotMedia(f"{path.name} is a folder, not a recording.", "Name a file in it.")
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    if not head:
        return NotMedia(
            f"{path.name} is empty: it holds no byte, as after a full disk or a copy that broke off.",
            "Copy or record it again.",
        )
    if not any(head):
        return NotMedia(
            f"{path.name} begins with nothing but zeros, as a download or a copy that broke off does.",
            "Fetch or copy it again.",
        )
    if head[8:16] == b"WEBPVP8X" and head[20] & ANIMATED:
        return NotMedia(
            f"{path.name} is an animated WebP, which FFmpeg does not decode.",
            "Save it as GIF, AVIF or MP4, for instance in a browser or with ImageMagick.",
        )
    archive = next((what for begin, what in ARCHIVES.items() if head.startswith(begin)), None)
    if archive is not None:
        return NotMedia(f"{path.name} is {archive}, not media.", "Unpack it, and name the recording in it.")
    text = _text(head)
    if text.startswith("#EXTM3U"):
        return NotMedia(
            f"{path.name} is a playlist, and no recording that it names lies on this disk.",
            "Download the recording first, and name that.",
        )
    if text.lower().startswith(("<!doctype html", "<html")):
        return NotMedia(
            f"{path.name} is a web page, not media: a page to sign in was saved in its place, say.",
            "Download the recording again, and sign in first.",
        )
    return NotMedia(f"{path.name} is text, not media.", "Give a video or audio file.") if text else None


def _text(head: bytes) -> str:
    """The beginning of a file as text without space before it; empty where it is none."""
    coding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    # The last character may be cut off.
    text = head.decode(coding, errors="ignore")
    whole = len(text.encode("utf-16" if coding == "utf-16" else "utf-8"))
    if coding == "utf-16" and 2 * sum(letter < "\x7f" for letter in text) < len(text):
        # Any bytes are letters in UTF-16, mostly Chinese ones.
        return ""
    if len(head) - whole > 8 or any(ord(letter) < 32 and letter not in "\t\n\r\f\x1b" for letter in text):
        return ""
    return text.strip()


def _has_index(file: BinaryIO) -> bool:
    """Whether one of the outermost boxes of an MP4 file is `moov` or `moof` (ISO/IEC 14496-12, 4.2), or `meta` of a
    picture."""
    file.seek(0)
    while len(head := file.read(8)) == 8:
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind in (b"moov", b"moof", b"meta"):
            return True
        if size == 1:
            size = int.from_bytes(file.read(8), "big") - 8
        if size < 8:
            # 0 is "to the end of the file"; less than a header is damage, which FFmpeg may get around.
            return size != 0
        file.seek(size - 8, os.SEEK_CUR)
    return False


def beyond_header_s(path: Path) -> float:
    """Seconds of sound in a WAV file behind the end that its header names; 0.0 where there is none, or no WAV file.

    A recorder that is killed leaves the length of its first block. Other chunks, tags and zeros may follow the sound.
    """
    try:
        with path.open("rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            if (head := file.read(12))[:4] != b"RIFF" or head[8:] != b"WAVE":
                return 0.0
            bytes_per_s, at = 0, 12
            while (chunk := _chunk(file, at, n_bytes)) is not None:
                kind, size = chunk
                if kind == b"fmt ":
                    bytes_per_s = int.from_bytes(file.read(16)[8:12], "little")
                at += 8 + size + size % 2
                if kind == b"data" and size:
                    # An odd length is to be rounded up, which some programs do not do.
                    follows = [_chunk(file, end, n_bytes) is not None for end in {at, at - size % 2}]
                    beyond_s = (n_bytes - at) / bytes_per_s if bytes_per_s else 0.0
                    is_sound = beyond_s > BEYOND_LEAST_S and not any(follows) and _may_be_sound(file, at)
                    return beyond_s if is_sound else 0.0
    except OSError:
        pass
    return 0.0


def _chunk(file: BinaryIO, at: int, n_bytes: int) -> tuple[bytes, int] | None:
    """Kind and size of the chunk at that byte; None where there is none that fits into the file."""
    file.seek(at)
    head = file.read(8)
    kind, size = head[:4], int.from_bytes(head[4:], "little")
    named = len(head) == 8 and all(32 <= letter < 127 for letter in kind)
    return (kind, size) if named and at + 8 + size <= n_bytes else None


def _may_be_sound(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    rest = file.read(1 << 20)
    return any(rest) and not rest.startswith(TRAILERS)

"""Lists, prints, extracts and deletes recordings, for whoever has the key.

python -m realtime.recording new-key FILE                     a key for --record-key
python -m realtime.recording list   --dir DIR --key FILE      session, when it began, when it ends
python -m realtime.recording show   --dir DIR --key FILE ID   its events as JSON lines
python -m realtime.recording media  --dir DIR --key FILE ID --out FOLDER    its pictures (JPEG) and speech (WAV)
python -m realtime.recording delete --dir DIR --key FILE ID
"""

from __future__ import annotations

import argparse
import json
import sys
import wave
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from realtime.errors import BadRecording, BadSettings, RealtimeError
from realtime.outputs import refuse_input
from realtime.recording.vault import EVENT, PICTURE, Vault, new_key, read_key


def main(words: Sequence[str] | None = None) -> int:
    options = _options(words)
    try:
        _run(options)
    except RealtimeError as error:
        print(f"realtime: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"realtime: {error.filename or options.command}: {error.strerror}.", file=sys.stderr)
        return 1
    return 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m realtime.recording", description="Recordings of --record.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("new-key").add_argument("file", type=Path)
    for name in ("list", "show", "media", "delete"):
        command = commands.add_parser(name)
        command.add_argument("--dir", type=Path, required=True)
        command.add_argument("--key", type=Path, required=True)
        if name != "list":
            command.add_argument("session")
        if name == "media":
            command.add_argument("--out", type=Path, required=True)
    return parser.parse_args(words)


def _run(options: argparse.Namespace) -> None:
    if options.command == "new-key":
        new_key(options.file)
        return
    if not options.dir.is_dir():
        raise BadSettings(f"{options.dir} is no folder.", "Name the folder given with --record.")
    vault = Vault(options.dir, read_key(options.key), days=1)
    if options.command == "list":
        for session in vault.sessions():
            try:
                manifest = vault.manifest(session)
                print(session, _time(manifest.began_s), _time(manifest.ends_s))
            # One that cannot be read must not hide the others.
            except BadRecording as error:
                print(f"realtime: {error}", file=sys.stderr)
    elif options.command == "show":
        for kind, content in vault.read(options.session):
            if kind == EVENT:
                print(content.decode())
    elif options.command == "media":
        refuse_input(options.out, options.dir)
        _extract(vault, options.session, options.out)
    else:
        vault.delete(options.session)
        print(f"{options.session} is deleted.")


def _extract(vault: Vault, session: str, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for kind, content in vault.read(session):
        if kind == EVENT:
            continue
        told, _, data = content.partition(b"\n")
        head = json.loads(told)
        if kind == PICTURE:
            (out / f"{head['at_s']:09.3f}.jpg").write_bytes(data)
        else:
            with wave.open(str(out / f"{head['start_s']:09.3f}.wav"), "wb") as sound:
                sound.setparams((1, 2, head["rate_hz"], 0, "NONE", ""))
                sound.writeframes(data)


def _time(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    sys.exit(main())

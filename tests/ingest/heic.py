"""A HEIC picture of tiles, as iPhones take it: HEVC tiles, and an item that says how they lie (ISO/IEC 23008-12)."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import av
import numpy as np

from realtime.records import UInt8

TILE_PX = 64
VPS, SPS, PPS = 32, 33, 34
"Kinds of HEVC's units (ITU-T H.265, table 7-1); those below are pictures."


def box(kind: bytes, *parts: bytes, version: int | None = None, flags: int = 0) -> bytes:
    """A box, with a version where it has one ("full box")."""
    body = (b"" if version is None else struct.pack(">I", version << 24 | flags)) + b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def write_grid(path: Path, picture_HW3: UInt8) -> Path:
    """Write (H, W, 3) RGB, with both sides multiples of `TILE_PX`, as a grid of tiles."""
    rows, columns = (side // TILE_PX for side in picture_HW3.shape[:2])
    tiles, described = [], b""
    for row in range(rows):
        for column in range(columns):
            tile_HW3 = picture_HW3[row * TILE_PX :, column * TILE_PX :][:TILE_PX, :TILE_PX]
            described, tile = _coded(np.ascontiguousarray(tile_HW3))
            tiles.append(tile)
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, columns * TILE_PX, rows * TILE_PX)
    items = [grid, *tiles]
    brand = box(b"ftyp", b"heic", struct.pack(">I", 0), b"mif1", b"heic")
    start = len(brand) + len(_meta(items, described, (rows, columns), 0)) + 8
    path.write_bytes(brand + _meta(items, described, (rows, columns), start) + box(b"mdat", *items))
    return path


def _meta(items: list[bytes], described: bytes, shape: tuple[int, int], start: int) -> bytes:
    """Everything about the items but their bytes, which lie one after another from `start` of the file."""
    kinds = [b"grid"] + [b"hvc1"] * (len(items) - 1)
    places = b""
    for number, item in enumerate(items, 1):
        places += struct.pack(">HHHII", number, 0, 1, start, len(item))
        start += len(item)
    told = [box(b"infe", struct.pack(">HH4sx", n, 0, kind), version=2) for n, kind in enumerate(kinds, 1)]
    tiles = range(2, len(items) + 1)
    properties = box(
        b"ipco",
        box(b"hvcC", described),
        box(b"ispe", struct.pack(">II", TILE_PX, TILE_PX), version=0),
        box(b"ispe", struct.pack(">II", shape[1] * TILE_PX, shape[0] * TILE_PX), version=0),
    )
    owned = struct.pack(">HBB", 1, 1, 3) + b"".join(struct.pack(">HBBB", n, 2, 0x81, 2) for n in tiles)
    return box(
        b"meta",
        box(b"hdlr", struct.pack(">I4s12xx", 0, b"pict"), version=0),
        box(b"pitm", struct.pack(">H", 1), version=0),
        box(b"iloc", struct.pack(">BBH", 0x44, 0, len(items)), places, version=0),
        box(b"iinf", struct.pack(">H", len(items)), *told, version=0),
        box(b"iref", box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *tiles)), version=0),
        box(b"iprp", properties, box(b"ipma", struct.pack(">I", len(items)), owned, version=0)),
        version=0,
    )


def _coded(tile_HW3: UInt8) -> tuple[bytes, bytes]:
    """HEVC's description (hvcC, ISO/IEC 14496-15) and one picture as HEIC stores it, each unit after its length."""
    file = io.BytesIO()
    with av.open(file, "w", format="hevc") as out:
        stream = out.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:pools=none:frame-threads=1"})
        stream.width = stream.height = TILE_PX
        stream.pix_fmt = "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(tile_HW3, format="rgb24")))
        out.mux(stream.encode())
    units = [unit for unit in re.split(b"\0\0\0?\1", file.getvalue()) if unit]
    by_kind = {unit[0] >> 1: unit for unit in units}
    arrays = [struct.pack(">BHH", 0x80 | kind, 1, len(by_kind[kind])) + by_kind[kind] for kind in (VPS, SPS, PPS)]
    # Decoders read the profile from the SPS itself, so that the head only tells lengths of 4 bytes and three arrays.
    described = b"\1" + bytes(20) + bytes([0x03, len(arrays)]) + b"".join(arrays)
    pictures = [unit for unit in units if unit[0] >> 1 < VPS]
    return described, b"".join(struct.pack(">I", len(unit)) + unit for unit in pictures)

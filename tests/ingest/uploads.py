"""Pictures and sounds as bytes, as programs send them whole."""

from __future__ import annotations

import io
import struct
import wave
import zlib
from fractions import Fraction

import av
import numpy as np

from realtime.records import SAMPLE_RATE_HZ, Float32, UInt8


def png(rgb_HW3: UInt8) -> bytes:
    height, width = rgb_HW3.shape[:2]
    codec = av.CodecContext.create("png", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "rgb24", Fraction(1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb_HW3), "rgb24")
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def black_png(side_px: int) -> bytes:
    """A small file of a picture as large as one likes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side_px)
    rows = b"".join([packer.compress(row) for _ in range(side_px)]) + packer.flush()
    head = struct.pack(">IIBBBBB", side_px, side_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def wav(samples_N: Float32) -> bytes:
    """(N,) float32, 16 kHz mono."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((samples_N * 32767).astype("<i2").tobytes())
    return out.getvalue()

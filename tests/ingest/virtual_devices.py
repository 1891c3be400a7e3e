"""A camera and a microphone that FFmpeg plays, at the speed of real ones."""

from __future__ import annotations

PICTURE = "lavfi:testsrc2=size=64x48:rate=10,realtime"
SOUND = "lavfi:sine=frequency=200:sample_rate=16000,arealtime"

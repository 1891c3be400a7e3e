"""`WS /v0/stream/models`: for programs that were written for Hume's expression measurement, which was discontinued.

`messages.py` has the shapes, those of the Python package `hume` 0.13.0, the last with expression measurement;
`stream.py` has the socket. docs/from-hume.md tells what is the same and what is not.
"""

"""`WS /v1/realtime`: a session for programs that have a client of OpenAI's Realtime API.

`messages.py` has the shapes of its general release (2025), `turns.py` makes them from a session's events, and
`socket.py` has the socket. docs/api.md tells which events are taken and given.
"""

"""Media-time logic that only `session.py` composes: buffer, cadence, mailboxes, lag, degradation."""

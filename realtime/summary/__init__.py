"""Summaries of the last minutes: facts of the event log, sentences of them, and what a model makes of these."""

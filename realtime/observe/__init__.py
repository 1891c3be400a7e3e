"""Metrics, logs, traces and memory of the program."""

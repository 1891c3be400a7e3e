"""Watches and listens in real time and says, as it goes, what a person seems to feel and why."""

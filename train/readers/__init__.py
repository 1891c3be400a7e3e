"""Readers: a data set on disk as clips with their labels."""

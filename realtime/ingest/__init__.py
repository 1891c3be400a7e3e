"""Ingest: a WebRTC peer, a file or a camera becomes sampled frames and speech segments on one media clock."""

"""Streams of bytes."""

Chunk = bytes | memoryview
"""A piece of a stream: bytes, or a view of a buffer, which needs no copy."""

"""Streams of bytes."""

Chunk = bytes | memoryview
"""A piece of a stream: bytes, or a view of bytes that somebody else holds, which need no copy."""

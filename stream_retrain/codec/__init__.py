"""Bytes to values and back: records, outputs, chunks of the window, sealed checkpoints."""

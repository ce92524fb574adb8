"""Signals worth watching, the detectors that watch them, and what they show."""

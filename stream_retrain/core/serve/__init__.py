"""The port to a model: how it predicts, and what it tells of itself."""

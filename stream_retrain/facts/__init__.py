"""What happened, as values: readable from every floor, and with no behaviour but how a fact is told.

shard         the closed union of a shard's rare facts, and the columns every event has
worker        the closed union of what happens to a worker
observation   how a shard stands at a moment
"""

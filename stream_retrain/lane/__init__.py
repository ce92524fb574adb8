"""Between the bytes and the core: what is made of the records of one partition, pure.

batch     records as columns, and what they were decoded to
formats   bytes to events
shard     everything learned for one partition
encoder   facts to records
lane      the three together, and from which offset on they put something out
"""

"""The shell: the driver carries the shards, the engines feed it."""

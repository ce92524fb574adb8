"""Folds over facts: metrics, status, log, and the HTTP server that shows them. They never touch a shard, a store or an engine."""

"""Backtests: what would the quality have been with another model, another detector or another reaction, over the same records?

A backtest reads its source once into a spool, runs every variant of a pipeline over every partition by the replay engine, which is the
live code, and folds what the lanes did into one result.
"""

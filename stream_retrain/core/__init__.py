"""The logic, pure: standard library and River. Events and the time come in as arguments; facts go out as values.

No I/O, clock, thread, logger, environment or randomness of its own: so the live worker, the backtest and the tests run the same code.
"""

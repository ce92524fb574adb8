"""What takes decisions to other systems (`core.callbacks.Integration`); each needs its extra, and imports it when it is built."""

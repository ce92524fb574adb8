"""River estimators that adapt by themselves; pure, like `core`."""

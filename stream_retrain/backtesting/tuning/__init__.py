"""Tuning: settings of a pipeline are ranked on a first part of a source, and the chosen ones are reported on the rest."""

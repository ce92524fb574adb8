"""The settings of workers, trainers and tools: what they are, how they are read, how they are described."""

from __future__ import annotations

from stream_retrain.settings.declared import Settings, load_settings
from stream_retrain.settings.described import SettingRow, describe, settings_table_markdown

__all__ = ["SettingRow", "Settings", "describe", "load_settings", "settings_table_markdown"]

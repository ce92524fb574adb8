"""By which keys models, checkpoints and windows are signed, as the settings say."""

from __future__ import annotations

from stream_retrain.codec.keyring import Keyring
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings

__all__ = ["keyring_of"]


def keyring_of(settings: Settings) -> Keyring:
    """The keys checkpoints are signed with. Raises `SettingsError` where there are none and unsigned is not allowed."""
    if settings.signing_key_file is not None:
        return Keyring.from_file(settings.signing_key_file)
    if settings.allow_unsigned:
        return Keyring.unsigned()
    raise SettingsError(
        "checkpoints must be signed, and there is no signing_key_file. Make one with\n"
        '    echo "k1:$(head -c 32 /dev/urandom | base64 -w0)" > signing.key && chmod 600 signing.key\n'
        "and set STREAM_RETRAIN_SIGNING_KEY_FILE=signing.key; or, where nobody else can write to Redis, run with --allow-unsigned"
    )

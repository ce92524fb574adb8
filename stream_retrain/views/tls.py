"""TLS for the HTTP view: a certificate chain and its key, as files in PEM."""

from __future__ import annotations

import ssl
from pathlib import Path

from stream_retrain.errors import SettingsError

__all__ = ["client_context", "server_context"]


def server_context(certificate: Path, key: Path | None = None) -> ssl.SSLContext:
    """For a server, TLS 1.2 or later; `key` is in the certificate's file if it is None. Raises SettingsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password would be asked for on the terminal, where a service has none.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        files = f"{certificate}" if key is None else f"{certificate} and {key}"
        raise SettingsError(
            f"http_tls_cert_file, http_tls_key_file: {files} cannot be used for TLS: {reason}; they are a certificate chain and the key of"
            " its first certificate, in PEM and without a password"
        ) from error
    return context


def client_context(authorities: Path | None = None) -> ssl.SSLContext:
    """For a client that trusts the system's authorities, or those of a file alone. Raises SettingsError."""
    try:
        return ssl.create_default_context(cafile=str(authorities) if authorities else None)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"{authorities} cannot be read as certificates in PEM: {error}") from error

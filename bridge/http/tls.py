"""HTTPS for a server, with the options of `rasa run`."""

from __future__ import annotations

import ssl

from bridge.errors import SettingsError

HANDSHAKE_SECONDS = 15.0
"""Seconds in which a client must complete the TLS handshake."""


def server_context(
    certificate: str | None,
    keyfile: str | None = None,
    ca_file: str | None = None,
    password: str | None = None,
) -> ssl.SSLContext | None:
    """Return the context of a server with a certificate; None without one.

    `certificate` holds the chain, and the key too if there is no `keyfile`.

    Raises:
        SettingsError: a file cannot be read or does not fit; names the option.
    """
    if certificate is None:
        if keyfile:
            raise SettingsError("--ssl-keyfile needs a certificate", fix="add --ssl-certificate")
        return None

    def ask() -> str:
        # OpenSSL would ask the terminal.
        if password is None:
            raise SettingsError("the private key is encrypted", fix="add --ssl-password")
        return password

    option = "--ssl-ca-file" if ca_file else "--ssl-certificate"
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca_file)
        option = "--ssl-certificate, --ssl-keyfile or --ssl-password"
        context.load_cert_chain(certificate, keyfile, ask)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not accepted"
        raise SettingsError(
            f"{option}: {why}", fix="give PEM files that belong together"
        ) from error
    return context

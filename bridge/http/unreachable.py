"""Why a service cannot be reached, in words: aiohttp's errors are those of its libraries.

Of the URL, only the host is named: the rest may contain a token.
"""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp

from bridge.errors import ServiceUnavailable

TRUST = "set SSL_CERT_FILE to a file with its CA, if it is to be trusted"
FIXES = {
    10: "the service must renew it",  # X509_V_ERR_CERT_HAS_EXPIRED
    62: "use a name for which it is valid",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "use a name for which it is valid",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}
"""OpenSSL's code of a refusal (`man openssl-verification-options`) → what to do."""


def unreachable(error: aiohttp.ClientConnectorError) -> ServiceUnavailable:
    """Return the error for a connection that could not be opened."""
    cause = getattr(error, "certificate_error", None) or error.os_error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ServiceUnavailable(
            f"the certificate of {error.host} is refused: {cause.verify_message.rstrip('.')}",
            fix=FIXES.get(cause.verify_code, TRUST),
        )
    if isinstance(cause, ssl.SSLError):
        return ServiceUnavailable(f"no TLS with {error.host}:{error.port}: {cause.reason}")
    if isinstance(cause, socket.gaierror):
        return ServiceUnavailable(f"the name {error.host} does not resolve: {cause.strerror}")
    number = getattr(cause, "errno", None)
    why = os.strerror(number) if number else str(cause or error)
    return ServiceUnavailable(f"no connection to {error.host}:{error.port}: {why}")

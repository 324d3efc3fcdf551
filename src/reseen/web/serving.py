"""Run the service: the port, and a server that stops cleanly."""

import secrets
import socket
from ipaddress import ip_address
from pathlib import Path

import uvicorn

from reseen.errors import SettingsError
from reseen.web.guard import Guard

PATIENCE = 5
"""Seconds that requests have to finish when the service stops."""

BUSY = 100
"""Maximum number of parallel requests; further ones are told to try again."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Open a port.

    Args:
        host: name or address.
        port: 0 for any free one.

    Raises:
        SettingsError: it cannot be opened.
    """
    if not 0 <= port <= 65535:
        raise SettingsError(f"--port is {port}. Use 1 to 65535, or 0 for any free port.")
    try:
        kind = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=kind)
    except OSError as error:
        raise SettingsError(
            f"--host {host} --port {port} cannot be used: {error}. Use another, or stop the "
            "program that uses it."
        ) from error


def address(place: socket.socket, certificate: Path | None) -> str:
    """Return the address to open in a browser."""
    host, port = place.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if certificate else ''}://{host}:{port}/"


def run(
    app: Guard, place: socket.socket, certificate: Path | None = None, key: Path | None = None
) -> None:
    """Serve requests until Ctrl-C or SIGTERM.

    Args:
        app: from `create_app`.
        place: an open port.
        certificate: PEM file for https.
        key: PEM file of its private key, unless the certificate file contains it.

    Raises:
        SettingsError: certificate or key cannot be read.
        KeyboardInterrupt: it was stopped; running requests had PATIENCE seconds to finish.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # otherwise clients could log a false address
        limit_concurrency=BUSY,
        timeout_graceful_shutdown=PATIENCE,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError too
        raise SettingsError(f"--certificate {certificate} cannot be used: {error}.") from error
    try:
        uvicorn.Server(config).run(sockets=[place])
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped.") from None


def draw_token() -> str:
    """Return a random token."""
    return secrets.token_urlsafe(24)

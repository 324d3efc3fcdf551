"""`reseen serve G`: a gallery as a page and as a REST service."""

import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Annotated

from cyclopts import Parameter

from reseen.engine.device import Device
from reseen.errors import ReseenError, SettingsError
from reseen.gallery.gallery import Gallery

WARM = 2.0
"""Seconds after the start when the encoder is loaded: the first page does not wait for it."""


def serve(
    gallery: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: int = 8470,
    token: Annotated[str | None, Parameter(env_var="RESEEN_TOKEN", show_env_var=False)] = None,
    certificate: Path | None = None,
    key: Path | None = None,
    blur_faces: bool = False,
    no_audit: bool = False,
    device: Device = Device(),  # noqa: B008 (frozen)
) -> None:
    """Serve a gallery as a web page and a REST API, until Ctrl-C is pressed.

    By default only this machine can connect. With --host, every user needs the token, and without
    --certificate the connection is not encrypted. The server contacts no outside host. Every search
    and who made it is logged to audit.jsonl in the folder of the gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    host
        Address to listen on; 0.0.0.0 means all addresses of this machine.
    port
        Port to listen on; 0 chooses a free one.
    token
        Password that every user must give, 16 characters or more. If --host requires one and none
        is given, a random token is made and printed. Set it in the environment variable
        RESEEN_TOKEN to hide it from other users of this machine.
    certificate
        Certificate (PEM file) for serving over HTTPS.
    key
        Private key (PEM file) of the certificate, unless it is in the same file.
    blur_faces
        Blur the upper quarter of every crop, where the face usually is.
    no_audit
        Do not log who searches for whom.
    """
    from reseen.web.app import LOOPBACK, create_app
    from reseen.web.serving import address, draw_token, is_loopback, listen, run

    if key is not None and certificate is None:
        raise SettingsError("--key is given without --certificate. Give both.")
    inside = is_loopback(host)
    if token is None and not inside:
        token = draw_token()
        print(f"token: {token}", file=sys.stderr)
    with Gallery.open(gallery, device) as opened:
        app = create_app(
            opened,
            token=token,
            hosts=LOOPBACK | {host} if inside else None,
            blur=blur_faces,
            audit=not no_audit,
        )
        opened.check_encoder()
        with listen(host, port) as place:
            print(
                f"{opened.folder.resolve().name}: {address(place, certificate)}  (Ctrl-C stops)",
                flush=True,
            )
            warming = Timer(WARM, _warm, [opened])
            warming.daemon = True
            warming.start()
            try:
                run(app, place, certificate, key)
            finally:
                warming.cancel()


def _warm(gallery: Gallery) -> None:
    """Load the encoder before the first search needs it."""
    with suppress(ReseenError):  # the search says it
        gallery.embedder()

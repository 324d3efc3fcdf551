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
    """Serve a gallery as a page for a browser and as a REST service, until Ctrl-C.

    Only this machine reaches it, unless --host is given: then everybody needs the token, and
    without --certificate whoever listens on the network can read along. No outside host is asked
    for anything. Who looks for whom is appended to audit.jsonl in the folder of the gallery.

    Parameters
    ----------
    gallery
        Folder of the gallery.
    host
        Address to listen at; 0.0.0.0 means all addresses of this machine.
    port
        0 takes one that is free.
    token
        What everybody must give, 16 characters or more. Where --host asks for one and none is
        given, one is drawn and printed. In the environment as RESEEN_TOKEN no other user of this
        machine sees it.
    certificate
        A PEM file: serve by https.
    key
        The PEM file of its private key, unless the certificate holds it.
    blur_faces
        Blur the upper quarter of every crop, where faces are.
    no_audit
        Write no log of who looks for whom.
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

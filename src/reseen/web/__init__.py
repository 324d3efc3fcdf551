"""`reseen serve`: a gallery as a page and as a REST service, for one site and no outside host.

Raises:
    SettingsError: a package of the extra `web` is not installed.
"""

from reseen.errors import needs

for _module in ("fastapi", "jinja2", "python_multipart", "uvicorn"):
    needs(_module, extra="web")

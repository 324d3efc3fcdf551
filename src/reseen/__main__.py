"""`python -m reseen` is the command `reseen`."""

from reseen.cli import main

main()

"""`reseen serve`: a gallery as a page and as a REST service, for one site and no outside host."""

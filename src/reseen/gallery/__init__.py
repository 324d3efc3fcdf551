"""The gallery: crops, who is on them, and a search that says when it may be believed."""

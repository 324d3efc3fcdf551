"""Fast free functions on arrays that several parts share; torch for matrix products alone."""

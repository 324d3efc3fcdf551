"""Fast functions on arrays that several parts share; torch is used only for matrix products."""

"""Fast free functions on arrays that several parts share; numpy and numba, never torch."""

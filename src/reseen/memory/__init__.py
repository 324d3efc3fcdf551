"""Memories that training reads from and writes to, explicitly."""

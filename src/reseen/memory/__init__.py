"""Memories that training explicitly reads and updates."""

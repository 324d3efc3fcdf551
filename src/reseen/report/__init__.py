"""Pictures and pages of what was learnt; they read, and never train."""

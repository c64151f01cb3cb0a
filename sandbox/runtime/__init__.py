"""Containers: specification → plan → supervisor and init; their life cycle, output and state."""

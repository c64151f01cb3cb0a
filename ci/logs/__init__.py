"""Logs of steps: taken from runners as they come, compressed when they are whole, read in parts only."""

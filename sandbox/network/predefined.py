"""The names of the networks that nobody makes: docker's three."""

DEFAULT = "bridge"
HOST, NONE = "host", "none"
PREDEFINED = (DEFAULT, HOST, NONE)

"""Hako's container engine: images, containers, networks and builds, on the kernel's own system calls."""

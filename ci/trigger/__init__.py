"""From an event to a build: the configuration at its commit is read, checked, compiled, and stored."""

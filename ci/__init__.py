"""The CI server's domain: pipelines, builds, secrets, logs. No Flask and no system calls."""

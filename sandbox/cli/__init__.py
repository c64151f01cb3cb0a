"""The `sandbox` command: one module a group of verbs, loaded only when its verb is given."""

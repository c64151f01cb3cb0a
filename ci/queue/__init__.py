"""The queue between the server and its runners: RQ on Redis, or on a Valkey that the server starts for itself."""

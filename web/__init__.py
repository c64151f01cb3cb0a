"""Hako on the web: webhooks, REST API, runners' RPC and pages."""

"""The server: webhooks, the runners' RPC, the REST API, pages and live logs. `application` puts it together."""

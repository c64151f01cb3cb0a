"""Who makes a request, and what he may do: sessions, tokens, logging in, roles, limits."""

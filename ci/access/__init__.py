"""Who may do what on the server: passwords and tokens of accounts, roles, logging in at a forge."""

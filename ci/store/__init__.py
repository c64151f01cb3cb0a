"""What the server remembers: repositories, deliveries of webhooks, builds with their Stages and steps.

The only package that speaks SQL. Functions take a connection, so that several make one transaction; `Database` opens
them. Records that come out are frozen and know nothing of tables.
"""

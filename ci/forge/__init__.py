"""The forges: where repositories live, and who tells of what happens there.

Pure but for the clients. One module a forge reads its webhooks; `delivery` finds out whose a request is, `signatures`
whether it is to be believed.
"""

"""Handing one message to the outside world: a webhook, a mail relay, a chat service."""

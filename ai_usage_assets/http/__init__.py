"""HTTP: the API client with its retries and rate limits, the transport, webhooks and the loopback server."""

"""What connectors share: requests, replies, error responses, tokens and logins."""

"""What connectors share: requests, replies, error responses, logins."""

"""HTTP client and server. The client is the only home of aiohttp."""

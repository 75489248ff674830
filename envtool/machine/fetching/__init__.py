"""Fetching over the network: where from, over which connections, and only what has the hash."""

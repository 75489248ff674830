"""Questions about what the store holds, which change nothing."""

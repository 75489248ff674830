"""From requirements to pinned packages, by uv, and what it must be told or asked twice."""

"""Values and bytes: parse and render, nothing else. No network, no process, no clock."""

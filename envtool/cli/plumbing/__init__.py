"""`envtool store …`: the plumbing, one module per theme."""

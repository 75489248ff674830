"""System roots: unpacked .debs as one tree, whose maintainer scripts have run in a sandbox."""

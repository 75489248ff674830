"""From declaration to derivations: resolve and instantiate."""

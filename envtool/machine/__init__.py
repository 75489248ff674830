"""One module per resource of this machine: settings, database, store, roots, profiles, fetching."""

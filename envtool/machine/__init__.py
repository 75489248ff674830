"""What this machine has and keeps: settings, the store with its database, profiles, projects."""

"""A kernel while its environment is built: it answers, shows the progress, then passes on."""

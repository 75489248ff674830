"""What a shell's prompt does: enter and leave environments, as far as the user allows it."""

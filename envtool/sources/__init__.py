"""What the outside world's packages are: wheels, interpreters. Knowledge, no store."""

"""What the outside world's packages are: wheels, .debs, interpreters. Knowledge, no store."""

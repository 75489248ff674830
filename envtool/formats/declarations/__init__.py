"""What users declare, in each file that may hold it: every fault told, edited in place."""

"""The shared libraries that wheels need, and who provides each: found by reading alone."""

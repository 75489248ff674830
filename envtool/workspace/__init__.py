"""From a declaration to a generation: what the faces may ask for, each a part of one object."""

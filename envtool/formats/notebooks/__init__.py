"""What is in a notebook beside its declaration: outputs, parameters, and what made them."""

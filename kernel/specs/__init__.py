"""Kernelspecs: the folders by which Jupyter finds our kernels."""

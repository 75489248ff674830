"""Jupyter: launching kernels, kernelspecs, headless runs, a kernel that explains failures."""

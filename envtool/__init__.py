"""envtool: the Nix model for Python and Jupyter.

The floors, top to bottom; an import goes only downwards (tests/test_architecture.py):
cli, kernel, magics / workspace / plan, build / machine / sources / formats / errors.
"""

__version__ = "0.1.0"


def load_ipython_extension(ipython: object) -> None:
    """Register `%envtool` and `%%envtool`; IPython calls it for `%load_ext envtool`."""
    from envtool.magics import load_ipython_extension as load

    load(ipython)

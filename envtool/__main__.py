"""`python3 -m envtool`: the `envtool` program, from a bare clone too."""

import sys

from envtool.bootstrap import become

if __name__ == "__main__":
    become(["-m", "envtool", *sys.argv[1:]])
    from envtool.cli import main

    sys.exit(main())

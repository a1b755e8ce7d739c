"""`python -m hfmix` is `hfmix`."""

import sys

from hfmix.cli import main

if __name__ == "__main__":
    sys.exit(main())

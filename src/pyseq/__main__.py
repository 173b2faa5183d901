"""``python -m pyseq`` is the command ``pyseq``."""

import sys

from pyseq.cli import main

if __name__ == "__main__":
    sys.exit(main())

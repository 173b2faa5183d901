"""The text of results that were saved before.

python -m bench.report out.json [--markdown]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.compare import report_of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description="The text of saved results.")
    parser.add_argument("file", type=Path, help="as written by python -m bench.compare --json")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    print(report_of(json.loads(options.file.read_text()), options.markdown))


if __name__ == "__main__":
    main()

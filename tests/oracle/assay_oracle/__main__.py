"""`python -m assay_oracle CHECK…`: runs the named checks, ends with 1 where anything differs."""

import argparse
import sys
from pathlib import Path

from . import backtest, checks

CHECKS = {"golden": checks.golden, "engine": checks.engine, "adversarial": checks.adversarial}


def main() -> int:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(prog="assay_oracle", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, check in CHECKS.items():
        commands.add_parser(name, help=check.__doc__)
    compare = commands.add_parser("backtest", help="compare what `assay backtest` wrote with its input")
    compare.add_argument("--input", type=Path, required=True, help="recorded trades, CSV, gzipped or not")
    compare.add_argument("--results", type=Path, required=True, help="folder with summary.json and results.sqlite")
    options = parser.parse_args()
    if options.command == "backtest":
        return 0 if backtest.compare(options.input, options.results) else 1
    return 0 if CHECKS[options.command]() else 1


sys.exit(main())

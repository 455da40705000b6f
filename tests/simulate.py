"""Run every simulation of the statistics and print what came out.

    python -m tests.simulate [--times 4] [NAME ...]

Exits with status 1 where a number leaves its range.
"""

import argparse
import sys
import time

from tests.reports.stats.simulations import SIMULATIONS, simulate


def main() -> int:
    """Simulate, print one line per claim, and count the claims that fail."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SIMULATIONS)}; default all")
    parser.add_argument("--times", type=float, default=1.0, help="how many times the usual repetitions")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(SIMULATIONS))
    if unknown:
        parser.error(f"there is no simulation {unknown}; there are {', '.join(SIMULATIONS)}")
    failed = 0
    for name in options.names or SIMULATIONS:
        start = time.perf_counter()
        for check in simulate(name, options.times):
            failed += not check.holds
            mark = "ok  " if check.holds else "FAIL"
            print(f"{mark} {check.got:8.2f}  in [{check.low:g}, {check.high:g}]  {check.what}")
        print(f"     {name}: {time.perf_counter() - start:.1f} s", flush=True)
    print(f"{failed} outside their range" if failed else "all within their range")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

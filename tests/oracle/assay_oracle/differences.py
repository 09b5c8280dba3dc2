"""Collects disagreements instead of stopping at the first, so that one run shows the whole picture."""

import math
from decimal import Decimal
from typing import Any

RELATIVE = 1e-9
SHOWN = 20


class Differences:
    """Comparisons made and those that failed."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.compared = 0
        self.found: list[str] = []

    def equal(self, what: str, found: Any, expected: Any) -> None:
        """Both must be the same."""
        self.compared += 1
        if found != expected:
            self.found.append(f"{what}: {found!r} instead of {expected!r}")

    def close(self, what: str, found: Any, expected: Any, absolute: float = 0.0) -> None:
        """Both must agree to 1e-9 relative, or be absent together."""
        self.compared += 1
        if found is None or expected is None:
            agree = found is None and expected is None
        else:
            agree = math.isclose(float(found), float(expected), rel_tol=RELATIVE, abs_tol=absolute)
        if not agree:
            self.found.append(f"{what}: {found} instead of {expected}")

    def exact_number(self, what: str, found: str | None, expected: Decimal | None) -> None:
        """A decimal text must be exactly the number, trailing zeros aside."""
        self.equal(what, None if found in (None, "") else Decimal(found), expected)

    def report(self) -> bool:
        """Prints the verdict; true where nothing differs and something was compared."""
        for line in self.found[:SHOWN]:
            print(f"  DIFFERS  {line}")
        if len(self.found) > SHOWN:
            print(f"  … and {len(self.found) - SHOWN} more")
        agrees = not self.found and self.compared > 0
        print(f"{'ok  ' if agrees else 'FAIL'} {self.title}: {self.compared} comparisons, {len(self.found)} differences")
        return agrees

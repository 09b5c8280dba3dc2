"""Compares summary.json and results.sqlite of `assay backtest` with the input they were made from."""

import json
import sqlite3
from pathlib import Path
from typing import Any

from .differences import Differences
from .profile import whole_input
from .scores import Judged, scores
from .trades import by_symbol, read_recorded

EXACT = ("volume", "low", "high", "point_of_control", "value_area_low", "value_area_high")
CLOSE = ("vwap", "standard_deviation")


def compare(recording: Path, results: Path) -> bool:
    """True where every value of the summary follows from the input and the rows."""
    summary = json.loads((results / "summary.json").read_text())
    return all([_whole_input(recording, summary), _scores(results / "results.sqlite", summary)])


def _whole_input(recording: Path, summary: dict[str, Any]) -> bool:
    differences = Differences(f"{recording.name}: whole-input values of the summary")
    expected = by_symbol(read_recorded(recording))
    differences.equal("symbols", sorted(summary["symbols"]), sorted(expected))
    for symbol, trades in expected.items():
        found, values = summary["symbols"].get(symbol, {}), whole_input(trades)._asdict()
        differences.equal(f"{symbol} trades", found.get("trades"), values["trades"])
        for name in EXACT:
            differences.exact_number(f"{symbol} {name}", found.get(name), values[name])
        for name in CLOSE:
            differences.close(f"{symbol} {name}", found.get(name), values[name])
    return differences.report()


def _scores(database: Path, summary: dict[str, Any]) -> bool:
    differences = Differences(f"{database.name}: scores of the summary")
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as rows:
        for record in summary["scores"]:
            _compare_record(rows, record, differences)
    return differences.report()


def _compare_record(rows: sqlite3.Connection, record: dict[str, Any], differences: Differences) -> None:
    key = (record["strategy"], record["symbol"])
    where = " on ".join(key)
    [(forecasts,)] = rows.execute(
        "SELECT count(*) FROM forecasts WHERE strategy_name = ? AND symbol = ?", key)
    differences.equal(f"{where} forecasts", record["forecasts"], forecasts)
    outcomes = rows.execute(
        "SELECT probability, base_rate, outcome FROM strategy_results WHERE strategy_name = ? AND symbol = ?", key
    ).fetchall()
    for kind in ("HIT", "MISS", "VOID"):
        counted = sum(outcome == kind for _, _, outcome in outcomes)
        differences.equal(f"{where} {kind}", record["outcomes"].get(kind, 0), counted)
    judged = [Judged(p, b, outcome == "HIT") for p, b, outcome in outcomes if outcome != "VOID"]
    expected = scores(judged) if judged else {}
    for name in ("brier", "reference_brier", "brier_skill", "log_loss", "hit_rate"):
        differences.close(f"{where} {name}", record[name], expected.get(name), absolute=1e-12)
    levels = dict(rows.execute(
        "SELECT confidence, count(*) FROM forecasts WHERE strategy_name = ? AND symbol = ? GROUP BY 1", key))
    for level in ("LOW", "MEDIUM", "HIGH"):
        differences.equal(f"{where} {level}", record["confidence"].get(level, 0), levels.get(level, 0))

"""Rolling indicators at the instants the engine published, by brute force over the trades of each window.

Extremes are told twice: by a scan, and by TA-Lib's MAX and MIN over dense rows.
"""

from typing import Any, Sequence

import numpy
import talib

from .differences import Differences
from .engine import SECOND_US, Settings
from .profile import inferred_bucket, inferred_tick, standard_deviation, value_area, vwap
from .trades import Trade, by_second, unscaled

NOTHING_HIGH = -1e300
NOTHING_LOW = 1e300


class SymbolHistory:
    """Accepted trades of one symbol by second, and dense highs and lows for TA-Lib."""

    def __init__(self, trades: Sequence[Trade], settings: Settings) -> None:
        self.settings = settings
        self.trades = trades
        self.seconds = dict(by_second(trades))
        self.first, self.last = min(self.seconds), max(self.seconds)
        self.tick = inferred_tick(trades)
        self.bucket = inferred_bucket(trades)
        self.window_high, self.window_low = self._extremes(1, settings.window_s)
        self.range_high, self.range_low = self._extremes(settings.range_bar_s, settings.range_bars)

    def _extremes(self, length_s: int, width: int) -> tuple[dict[int, float], dict[int, float]]:
        """TA-Lib's MAX and MIN over `width` rows of `length_s` seconds, by the index of the last row."""
        first, last = self.first // length_s, self.last // length_s
        highs = numpy.full(last - first + 1 + width, NOTHING_HIGH)
        lows = numpy.full(last - first + 1 + width, NOTHING_LOW)
        for second, trades in self.seconds.items():
            at = second // length_s - first + width
            highs[at] = max(highs[at], *(trade.price for trade in trades))
            lows[at] = min(lows[at], *(trade.price for trade in trades))
        indices = range(first - width, last + 1)
        return (
            dict(zip(indices, talib.MAX(highs, timeperiod=width))),
            dict(zip(indices, talib.MIN(lows, timeperiod=width))),
        )

    def window(self, end_s: int) -> list[Trade]:
        """Trades of the window that ends at `end_s`."""
        start = end_s - self.settings.window_s
        return [trade for second in range(start, end_s) for trade in self.seconds.get(second, [])]

    def is_full(self, end_s: int) -> bool:
        """Whether the window began after the symbol's first trade."""
        return self.first <= end_s - self.settings.window_s


def compare_view(history: SymbolHistory, view: dict[str, Any], differences: Differences) -> None:
    """Compares one published view with the trades behind it."""
    closed, at_us = view["closed"], int(view["closed"]["watermark_us"])
    where = f"{view['symbol']} at {at_us}"
    end_s = at_us // SECOND_US
    differences.exact_number(f"{where} tick_size", closed["tick_size"], unscaled(history.tick))
    _compare_window(history, closed, end_s, where, differences)
    _compare_range(history, closed, end_s, where, differences)


def _compare_window(history: SymbolHistory, closed: dict, end_s: int, where: str, differences: Differences) -> None:
    trades = history.window(end_s)
    differences.equal(f"{where} trade_count", int(closed["trade_count"]), len(trades))
    names = ("vwap", "standard_deviation", "point_of_control", "value_area_low", "value_area_high")
    if not history.is_full(end_s) or not trades:
        for name in names:
            differences.equal(f"{where} {name} while warming", closed[name], "")
        return
    differences.close(f"{where} vwap", closed["vwap"], vwap(trades))
    deviation = standard_deviation(trades)
    differences.close(f"{where} standard_deviation", closed["standard_deviation"], deviation)
    area = value_area(trades, history.bucket)
    expected = (area.point_of_control, area.low, area.high)
    for name, value in zip(names[2:], expected):
        differences.exact_number(f"{where} {name}", closed[name], unscaled(value))
    if closed["high"]:
        high, low = max(trade.price for trade in trades), min(trade.price for trade in trades)
        differences.exact_number(f"{where} high", closed["high"], unscaled(high))
        differences.exact_number(f"{where} low", closed["low"], unscaled(low))
        if end_s - 1 in history.window_high:
            differences.equal(f"{where} high by TA-Lib", int(history.window_high[end_s - 1]), high)
            differences.equal(f"{where} low by TA-Lib", int(history.window_low[end_s - 1]), low)
    newest = history.seconds[max(second for second in history.seconds if second < end_s)]
    if closed["z"]:
        z = (vwap(newest) - vwap(trades)) / deviation
        differences.close(f"{where} z", closed["z"], z, absolute=1e-9)


def _compare_range(history: SymbolHistory, closed: dict, end_s: int, where: str, differences: Differences) -> None:
    settings = history.settings
    newest = max(second for second in history.seconds if second < end_s)
    bar = newest // settings.range_bar_s
    if history.first > (bar - settings.range_bars) * settings.range_bar_s:
        differences.equal(f"{where} range_high while warming", closed["range_high"], "")
        return
    high, low = history.range_high[bar - 1], history.range_low[bar - 1]
    known = high != NOTHING_HIGH
    differences.exact_number(f"{where} range_high", closed["range_high"], unscaled(int(high)) if known else None)
    differences.exact_number(f"{where} range_low", closed["range_low"], unscaled(int(low)) if known else None)

"""Trades as exact integers, read from recorded files or from canonical records."""

import csv
import gzip
import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Iterable, Iterator, NamedTuple

SCALE = 10**8


class Trade(NamedTuple):
    """One print; price and quantity scaled by 1e-8, times in microseconds."""

    venue: str
    symbol: str
    trade_id: int
    price: int
    quantity: int
    side: str
    event_time_us: int
    received_time_us: int


def scaled(text: str) -> int:
    """A decimal text as an integer in 1e-8; refuses to round."""
    value = Decimal(text) * SCALE
    if value != value.to_integral_value():
        raise ValueError(f"{text} has more than 8 digits behind the point")
    return int(value)


def unscaled(value: int) -> Decimal:
    """An integer in 1e-8 as an exact decimal number."""
    return Decimal(value) / SCALE


def read_recorded(path: Path) -> list[Trade]:
    """Trades of a recorded file `symbol,trade_id,ts_us,price,qty,side,recv_ns`, gzipped or not, in order of arrival."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="") as rows:
        return [_of_row(row) for row in csv.DictReader(rows)]


def _of_row(row: dict[str, str]) -> Trade:
    event_time_us = int(row["ts_us"])
    received_time_us = int(row["recv_ns"]) // 1000 if row["recv_ns"] else event_time_us
    return Trade(
        "binance", row["symbol"], int(row["trade_id"]), scaled(row["price"]), scaled(row["qty"]), row["side"],
        event_time_us, received_time_us,
    )


def read_coinbase(path: Path) -> list[Trade]:
    """Trades of the Coinbase recording, which has no ids: rows are numbered from 1, oldest first."""
    with open(path, newline="") as rows:
        ordered = sorted(csv.DictReader(rows), key=lambda row: row["timestamp"])
    return [_of_coinbase_row(number, row) for number, row in enumerate(ordered, start=1)]


def _of_coinbase_row(number: int, row: dict[str, str]) -> Trade:
    time = datetime.fromisoformat(row["timestamp"])
    time_us = (time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    return Trade(
        "coinbase", row["symbol"], number, scaled(row["price"]), scaled(row["amount"]), row["side"], time_us, time_us
    )


def to_record(trade: Trade) -> str:
    """The canonical record of `raw.trades`, one line of JSON."""
    return json.dumps(
        {
            "v": 1,
            "venue": trade.venue,
            "symbol": trade.symbol,
            "trade_id": trade.trade_id,
            "price": f"{unscaled(trade.price):f}",
            "quantity": f"{unscaled(trade.quantity):f}",
            "side": trade.side,
            "event_time_us": trade.event_time_us,
            "received_time_us": trade.received_time_us,
        },
        separators=(",", ":"),
    )


def by_symbol(trades: Iterable[Trade]) -> dict[str, list[Trade]]:
    """Trades per symbol, order kept."""
    grouped: dict[str, list[Trade]] = {}
    for trade in trades:
        grouped.setdefault(trade.symbol, []).append(trade)
    return grouped


def by_second(trades: Iterable[Trade]) -> Iterator[tuple[int, list[Trade]]]:
    """(second since the epoch, its trades), ascending; empty seconds are left out."""
    seconds: dict[int, list[Trade]] = {}
    for trade in trades:
        seconds.setdefault(trade.event_time_us // 1_000_000, []).append(trade)
    return iter(sorted(seconds.items()))

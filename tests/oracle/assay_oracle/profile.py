"""Average, deviation, range and volume profile of a set of trades, each from its definition."""

from decimal import Decimal, localcontext
from typing import NamedTuple, Sequence

from .trades import SCALE, Trade, unscaled

PRECISION = 60
VALUE_AREA = Decimal("0.7")
TICK_DIGITS = 8
BUCKET_DIGITS = 4


def vwap(trades: Sequence[Trade]) -> Decimal:
    """Σ q·p / Σ q."""
    with localcontext(prec=PRECISION):
        volume = sum(trade.quantity for trade in trades)
        return Decimal(sum(trade.quantity * trade.price for trade in trades)) / volume / SCALE


def standard_deviation(trades: Sequence[Trade]) -> Decimal:
    """sqrt(Σ q·(p − VWAP)² / Σ q), the two-pass form."""
    with localcontext(prec=PRECISION):
        volume = sum(trade.quantity for trade in trades)
        mean = Decimal(sum(trade.quantity * trade.price for trade in trades)) / volume
        squares = sum(trade.quantity * (trade.price - mean) ** 2 for trade in trades)
        return (squares / volume).sqrt() / SCALE


def power_below(price: int, digits: int) -> int:
    """The power of ten, scaled by 1e-8, that leaves `digits` significant digits of a price; at least 1e-8."""
    return 10 ** max(len(str(price)) - digits, 0)


def inferred_tick(trades: Sequence[Trade]) -> int:
    """Tick size from the lowest price of the first second."""
    return power_below(_lowest_of_first_second(trades), TICK_DIGITS)


def inferred_bucket(trades: Sequence[Trade]) -> int:
    """Bucket width from the lowest price of the first second."""
    return power_below(_lowest_of_first_second(trades), BUCKET_DIGITS)


def _lowest_of_first_second(trades: Sequence[Trade]) -> int:
    first = min(trade.event_time_us for trade in trades) // 1_000_000
    return min(trade.price for trade in trades if trade.event_time_us // 1_000_000 == first)


class ValueArea(NamedTuple):
    """Lower edge of the point of control, and the edges of the value area; scaled by 1e-8."""

    point_of_control: int
    low: int
    high: int


def value_area(trades: Sequence[Trade], width: int) -> ValueArea:
    """70 % value area over dense rows, empty rows included.

    Point of control: most volume; of equals the nearest to the middle of the range, then the lower. From there the
    larger neighbour is added, a single row at a time, upwards where both are equal; at an edge the other side grows.
    """
    rows = _rows(trades, width)
    lowest, highest = min(rows), max(rows)
    middle = Decimal(lowest + highest) / 2
    centre = min(rows, key=lambda row: (-rows[row], abs(row - middle), row))
    wanted = VALUE_AREA * sum(rows.values())
    low = high = centre
    inside = rows[centre]
    while inside < wanted:
        above = rows.get(high + 1, 0) if high < highest else -1
        below = rows.get(low - 1, 0) if low > lowest else -1
        if above >= below:
            high += 1
            inside += above
        else:
            low -= 1
            inside += below
    return ValueArea(centre * width, low * width, (high + 1) * width)


def _rows(trades: Sequence[Trade], width: int) -> dict[int, int]:
    rows: dict[int, int] = {}
    for trade in trades:
        row = trade.price // width
        rows[row] = rows.get(row, 0) + trade.quantity
    return rows


class WholeInput(NamedTuple):
    """What a summary says of a symbol over the whole input."""

    trades: int
    volume: Decimal
    vwap: Decimal
    standard_deviation: Decimal
    low: Decimal
    high: Decimal
    point_of_control: Decimal
    value_area_low: Decimal
    value_area_high: Decimal


def whole_input(trades: Sequence[Trade]) -> WholeInput:
    """The values of one symbol's trades over the whole input."""
    area = value_area(trades, inferred_bucket(trades))
    return WholeInput(
        trades=len(trades),
        volume=unscaled(sum(trade.quantity for trade in trades)),
        vwap=vwap(trades),
        standard_deviation=standard_deviation(trades),
        low=unscaled(min(trade.price for trade in trades)),
        high=unscaled(max(trade.price for trade in trades)),
        point_of_control=unscaled(area.point_of_control),
        value_area_low=unscaled(area.low),
        value_area_high=unscaled(area.high),
    )

"""Which records of a log count: the rules of acceptance, told anew.

A record whose event time lies more than 5 s ahead of its arrival is a dead letter and touches nothing. A trade whose
second has closed is late. A trade whose id is remembered is a copy, whatever its time says; an id is remembered until
the watermark reaches the end of its second plus the dedupe window. Only accepted trades move the watermark.
"""

from dataclasses import dataclass, field

from .trades import Trade

SECOND_US = 1_000_000
MAX_AHEAD_US = 5 * SECOND_US

ACCEPTED = "accepted"
LATE = "late"
DUPLICATE = "duplicate"
FUTURE = "future_event_time"


def end_of_second(event_time_us: int) -> int:
    """End of the second an instant lies in, microseconds."""
    return event_time_us // SECOND_US * SECOND_US + SECOND_US


@dataclass
class Acceptance:
    """The memory of one partition: the newest accepted time, and the ids taken."""

    lateness_us: int
    dedupe_window_us: int
    newest_us: int | None = None
    taken: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def watermark_us(self) -> int | None:
        """Up to where nothing more is awaited."""
        return None if self.newest_us is None else self.newest_us - self.lateness_us

    def judge(self, trade: Trade) -> str:
        """What becomes of the next record of the log."""
        if trade.event_time_us > trade.received_time_us + MAX_AHEAD_US:
            return FUTURE
        watermark = self.watermark_us()
        identity = (trade.venue, trade.symbol, trade.trade_id)
        if self._remembers(identity, watermark):
            return DUPLICATE
        if watermark is not None and end_of_second(trade.event_time_us) <= watermark:
            return LATE
        self.taken[identity] = trade.event_time_us
        self.newest_us = max(self.newest_us or trade.event_time_us, trade.event_time_us)
        return ACCEPTED

    def _remembers(self, identity: tuple[str, str, int], watermark: int | None) -> bool:
        event_time_us = self.taken.get(identity)
        if event_time_us is None or watermark is None:
            return False
        return watermark < end_of_second(event_time_us) + self.dedupe_window_us

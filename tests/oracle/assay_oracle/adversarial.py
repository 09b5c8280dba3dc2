"""A log made to mislead: a recorded one with every kind of bad record put in, from a seed."""

import random
from typing import NamedTuple, Sequence

from .trades import Trade

SECOND_US = 1_000_000


class Entry(NamedTuple):
    """A record and whether it is one of the recorded trades, which should go on counting."""

    trade: Trade
    genuine: bool


def corrupt(trades: Sequence[Trade], seed: int) -> list[Entry]:
    """The recorded trades in their order, with bad ones between them; the very first record is bogus."""
    rng = random.Random(seed)
    log = [Entry(_bogus_first_price(trades[0]), False)]
    for at, trade in enumerate(trades):
        log.append(Entry(trade, True))
        if rng.random() < 0.02:
            log.append(Entry(rng.choice(_CORRUPTIONS)(rng, trades, at), False))
    return log


def _bogus_first_price(first: Trade) -> Trade:
    return first._replace(trade_id=1, price=first.price * 1000)


def _from_the_future(rng: random.Random, trades: Sequence[Trade], at: int) -> Trade:
    ahead_us = rng.randrange(6, 3_000_000) * SECOND_US
    trade = trades[at]
    return trade._replace(trade_id=trade.trade_id + 10**12, event_time_us=trade.received_time_us + ahead_us)


def _off_tick(rng: random.Random, trades: Sequence[Trade], at: int) -> Trade:
    trade = trades[at]
    return trade._replace(trade_id=trade.trade_id + 2 * 10**12, price=trade.price + rng.randrange(1, 1000))


def _copy_after_its_second_closed(rng: random.Random, trades: Sequence[Trade], at: int) -> Trade:
    return trades[rng.randrange(max(at // 2, 1))]


def _same_id_at_another_time(rng: random.Random, trades: Sequence[Trade], at: int) -> Trade:
    earlier = trades[rng.randrange(max(at, 1))]
    return earlier._replace(event_time_us=trades[at].event_time_us, received_time_us=trades[at].received_time_us)


def _late(rng: random.Random, trades: Sequence[Trade], at: int) -> Trade:
    trade = trades[at]
    behind_us = rng.randrange(1, 8) * SECOND_US
    return trade._replace(trade_id=trade.trade_id + 3 * 10**12, event_time_us=trade.event_time_us - behind_us)


_CORRUPTIONS = (_from_the_future, _off_tick, _copy_after_its_second_closed, _same_id_at_another_time, _late)

"""Seeded synthetic trades, one a second, long enough for forecasts and outcomes in numbers."""

import math
import random

from .trades import SCALE, Trade

SECOND_US = 1_000_000
START_S = 1_700_000_000 // 86_400 * 86_400


def reverting(seed: int, seconds: int) -> list[Trade]:
    """An Ornstein-Uhlenbeck log price around 100 with a time constant of 60 s, so that both sides of calls come true."""
    rng = random.Random(seed)
    log_price, trades = 0.0, []
    for second in range(seconds):
        log_price += -log_price / 60.0 + rng.gauss(0.0, 0.0002)
        price = round(100.0 * math.exp(log_price), 2)
        time_us = (START_S + second) * SECOND_US + rng.randrange(SECOND_US)
        quantity = rng.randrange(1, 200) * SCALE // 100
        side = rng.choice(("buy", "sell"))
        trades.append(Trade("synthetic", "SYN", second + 1, round(price * 100) * SCALE // 100, quantity, side, time_us, time_us))
    return trades

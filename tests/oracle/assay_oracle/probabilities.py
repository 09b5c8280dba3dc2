"""Probabilities, outcomes and levels from the trades and the strategies' calls, told anew in plain Python."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import NormalDist
from typing import Any, Sequence

import xxhash

from .differences import Differences
from .engine import SECOND_US, Replay, Settings
from .trades import SCALE, Trade, by_second

GRID_US = 60 * SECOND_US
LABELS = ("up", "flat", "down")
VOLATILITY_DECAY = 0.94
LEAST_RETURNS = 10
RECENT = 200
POOLED = "pooled"


def forecast_id(revision: str, symbol: str, strategy: str, horizon_us: int, emitted_at_us: int) -> str:
    """xxh3-128 of the texts behind their lengths and the times, little-endian."""
    texts = b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in (revision, symbol, strategy))
    times = b"".join(time.to_bytes(8, "little", signed=True) for time in (horizon_us, emitted_at_us))
    return xxhash.xxh3_128_hexdigest(texts + times)


class Prices:
    """The price of an instant: VWAP of the last second with trades that ended at or before it."""

    def __init__(self, trades: Sequence[Trade], stale_after_us: int) -> None:
        self.stale_after_us = stale_after_us
        self.by_end = {(second + 1) * SECOND_US: _vwap(trades) for second, trades in by_second(trades)}

    def at(self, time_us: int) -> float | None:
        """`None` where no second ended recently enough."""
        end_us = time_us // SECOND_US * SECOND_US
        while time_us - end_us <= self.stale_after_us:
            if end_us in self.by_end:
                return self.by_end[end_us]
            end_us -= SECOND_US
        return None


def _vwap(trades: Sequence[Trade]) -> float:
    volume = sum(trade.quantity for trade in trades)
    return float(Fraction(sum(trade.quantity * trade.price for trade in trades), volume * SCALE))


def label_of(log_return: float, threshold: float) -> str:
    """UP at or beyond the threshold, DOWN at or beyond its negative, else FLAT."""
    return "up" if log_return >= threshold else "down" if log_return <= -threshold else "flat"


class Market:
    """Volatility and base rates of one symbol on the 60-second grid."""

    def __init__(self, trades: Sequence[Trade], settings: Settings) -> None:
        self.settings = settings
        self.prices = Prices(trades, settings.stale_after_us)
        self.decay = 0.5 ** (1 / settings.decay_outcomes)
        first, last = min(self.prices.by_end), max(self.prices.by_end)
        self.grid = range(-(-first // GRID_US) * GRID_US, last + settings.stale_after_us + 1, GRID_US)
        self.sigma = self._volatilities()

    def _volatilities(self) -> dict[int, float | None]:
        sigma, variance, returns, previous = {}, 0.0, 0, None
        for at_us in self.grid:
            price = self.prices.at(at_us)
            if price is not None and previous is not None:
                returns += 1
                squared = math.log(price / previous) ** 2
                weight = max(1 - VOLATILITY_DECAY, 1 / returns)
                variance = (1 - weight) * variance + weight * squared
            previous = price
            sigma[at_us] = math.sqrt(variance) if returns >= LEAST_RETURNS and variance > 0 else None
        return sigma

    def threshold(self, at_us: int) -> float | None:
        """θ = k·σ·sqrt(H/60 s), with the σ of the last grid instant."""
        known = [grid_us for grid_us in self.sigma if grid_us <= at_us]
        sigma = self.sigma[max(known)] if known else None
        if sigma is None:
            return None
        return self.settings.volatility_multiple * sigma * math.sqrt(self.settings.horizon_us / GRID_US)

    def base_rates(self, at_us: int) -> dict[str, float]:
        """Shares of the grid instants whose horizon has passed at `at_us`."""
        return shares(self.base_counts(at_us))

    def base_cases(self, at_us: int) -> float:
        """Independent cases behind the shares: grid spans overlap."""
        return sum(self.base_counts(at_us).values()) / max(self.settings.horizon_us / GRID_US, 1)

    def base_counts(self, at_us: int) -> dict[str, float]:
        """Decayed counts of the grid instants whose horizon has passed at `at_us`."""
        counts = {"up": 15.5, "flat": 19.0, "down": 15.5}
        for grid_us in self.grid:
            due_us = grid_us + self.settings.horizon_us
            start, end, threshold = self.prices.at(grid_us), self.prices.at(due_us), self.threshold(grid_us)
            if due_us <= at_us and None not in (start, end, threshold):
                count(counts, label_of(math.log(end / start), threshold), self.decay)
        return counts


def count(counts: dict[str, float], label: str, decay: float) -> None:
    """Lets all counts fade and adds one."""
    for key in counts:
        counts[key] *= decay
    counts[label] += 1


def shares(counts: dict[str, float]) -> dict[str, float]:
    """Counts over their sum."""
    total = sum(counts.values())
    return {key: value / total for key, value in counts.items()}


@dataclass
class Frozen:
    """A forecast as this side made it."""

    strategy: str
    emitted_at_us: int
    direction: int
    price: float
    threshold: float
    probabilities: dict[str, float]
    base: dict[str, float]
    bucket: int = 0
    confidence: float = 0.0
    level: str = "LOW"
    cases: float = 0.0
    overlapping: bool = False

    @property
    def called(self) -> str:
        """The label that makes it a hit."""
        return "up" if self.direction > 0 else "down"


@dataclass
class Learner:
    """Records, weights and scores of one symbol."""

    market: Market
    names: Sequence[str]
    weights: dict[str, float] = field(default_factory=dict)
    records: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)
    open: dict[str, Frozen] = field(default_factory=dict)
    scored: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.weights = {name: 1 / len(self.names) for name in self.names}

    def record(self, strategy: str, bucket: int) -> dict[str, float]:
        """Counts of WITH, FLAT and AGAINST."""
        return self.records.setdefault((strategy, bucket), {"with": 0.0, "flat": 0.0, "against": 0.0})

    def local(self, strategy: str, bucket: int, direction: int, base: dict[str, float]) -> tuple[dict[str, float], float]:
        """(c + κ·b) / (n + κ) per label, and n."""
        record, kappa = self.record(strategy, bucket), self.market.settings.prior_strength
        cases = sum(record.values())
        side = {"up": "with", "down": "against"} if direction > 0 else {"up": "against", "down": "with"}
        counts = {label: record[side.get(label, "flat")] for label in LABELS}
        return {label: (counts[label] + kappa * base[label]) / (cases + kappa) for label in LABELS}, cases

    def pool(self, members: Sequence[Frozen]) -> dict[str, float]:
        """The logarithmic pool around the base rate."""
        base, total = members[0].base, sum(self.weights[member.strategy] for member in members)
        logs = {}
        for label in LABELS:
            logs[label] = math.log(base[label]) + sum(
                self.weights[member.strategy] / total * member.confidence
                * (math.log(member.probabilities[label]) - math.log(base[label]))
                for member in members
            )
        return shares({label: math.exp(value) for label, value in logs.items()})

    def recent_skill(self, strategy: str) -> float | None:
        """Brier skill of the last 200 outcomes."""
        recent = self.scored.get(strategy, [])[-RECENT:]
        reference = sum(b for _, b in recent)
        return 1 - sum(a for a, _ in recent) / reference if reference > 0 else None

    def level(self, frozen: Frozen, ready: bool, cells: int) -> str:
        """LOW, MEDIUM or HIGH by the rules."""
        skill = self.recent_skill(frozen.strategy)
        if frozen.cases < 50 or not ready or (skill is not None and skill < -0.02):
            return "LOW"
        p, b = frozen.probabilities[frozen.called], frozen.base[frozen.called]
        variance = p * (1 - p) / (frozen.cases + self.market.settings.prior_strength + 1)
        deviation = math.sqrt(variance + b * (1 - b) / max(self.market.base_cases(frozen.emitted_at_us), 1))
        beyond_chance = p - NormalDist().inv_cdf(1 - 0.05 / (20 * cells)) * deviation > b
        return "HIGH" if frozen.cases >= 200 and beyond_chance and skill is not None and skill > 0 else "MEDIUM"

    def resolve_until(self, at_us: int) -> list[tuple[Frozen, str, float]]:
        """Judges and learns from what is due, in the order of time, then name."""
        horizon_us, resolved = self.market.settings.horizon_us, []
        due = [name for name, frozen in self.open.items() if frozen.emitted_at_us + horizon_us <= at_us]
        for name in sorted(due, key=lambda name: (self.open[name].emitted_at_us, name)):
            frozen = self.open.pop(name)
            end = self.market.prices.at(frozen.emitted_at_us + horizon_us)
            if end is None:
                resolved.append((frozen, "VOID", 0.0))
                continue
            log_return = math.log(end / frozen.price)
            label = label_of(log_return, frozen.threshold)
            self.learn(frozen, label)
            resolved.append((frozen, "HIT" if label == frozen.called else "MISS", log_return))
        return resolved

    def learn(self, frozen: Frozen, label: str) -> None:
        """Score for all; record and weight for strategies."""
        hit = float(label == frozen.called)
        p, b = frozen.probabilities[frozen.called], frozen.base[frozen.called]
        self.scored.setdefault(frozen.strategy, []).append(((p - hit) ** 2, (b - hit) ** 2))
        if frozen.strategy == POOLED:
            return
        seen = "flat" if label == "flat" else "with" if hit else "against"
        count(self.record(frozen.strategy, frozen.bucket), seen, self.market.decay)
        loss, base_loss = -math.log(frozen.probabilities[label]), -math.log(frozen.base[label])
        rate = self.market.settings.learning_rate * frozen.confidence
        self.weights[frozen.strategy] *= math.exp(-rate * (loss - base_loss))
        weights = shares(self.weights)
        self.weights = {name: 0.99 * weight + 0.01 / len(weights) for name, weight in weights.items()}


def compare(trades: dict[str, list[Trade]], said: Replay, settings: Settings, names: Sequence[str], differences: Differences) -> None:
    """Replays every symbol's forecasts and outcomes on this side and compares them one by one."""
    first_ends = {symbol: min(Prices(own, 0).by_end) for symbol, own in trades.items()}
    for symbol, own in trades.items():
        learner = Learner(Market(own, settings), names)
        forecasts = [forecast for forecast in said.forecasts if forecast["symbol"] == symbol]
        outcomes = [outcome for outcome in said.outcomes if outcome["forecast"]["symbol"] == symbol]
        expected = []
        for at_us in sorted({forecast["emitted_at_us"] for forecast in forecasts}):
            expected += learner.resolve_until(at_us)
            now = [forecast for forecast in forecasts if forecast["emitted_at_us"] == at_us]
            watched = sum((end, other) <= (at_us, symbol) for other, end in first_ends.items())
            _compare_instant(learner, now, watched, min(first_ends[symbol], at_us), differences)
        expected += learner.resolve_until(outcomes[-1]["evaluated_at_us"] if outcomes else 0)
        _compare_outcomes(outcomes, expected, differences)


def _compare_instant(learner: Learner, now: list[dict], watched: int, first_end_us: int, differences: Differences) -> None:
    settings, at_us = learner.market.settings, now[0]["emitted_at_us"]
    base, threshold = learner.market.base_rates(at_us), learner.market.threshold(at_us)
    price, cells = learner.market.prices.at(at_us), 4 * len(learner.names) * watched
    ready = first_end_us - SECOND_US <= at_us - settings.window_s * SECOND_US
    members = []
    for said in (said for said in now if said["strategy"] != POOLED):
        bucket = min(int(said["inputs"]["strength"] * 4), 3)
        local, cases = learner.local(said["strategy"], bucket, said["direction"], base)
        frozen = Frozen(said["strategy"], at_us, said["direction"], price, threshold, local, base, bucket)
        frozen.confidence, frozen.cases = said["inputs"]["data_confidence"], cases
        frozen.level = learner.level(frozen, ready, cells)
        members.append(frozen)
    for said in now:
        mine = next((member for member in members if member.strategy == said["strategy"]), None)
        mine = mine or _pooled(learner, members, said)
        mine.overlapping = mine.strategy in learner.open
        _compare_forecast(said, mine, settings, differences)
        differences.close(f"{said['id']} weight", said["inputs"]["weights"][learner.names[0]], learner.weights[learner.names[0]])
        if not mine.overlapping:
            learner.open[mine.strategy] = mine


def _pooled(learner: Learner, members: list[Frozen], said: dict[str, Any]) -> Frozen:
    voice = sum(member.direction * learner.weights[member.strategy] * member.confidence for member in members)
    first = members[0]
    pooled = Frozen(POOLED, first.emitted_at_us, 1 if voice > 0 else -1, first.price, first.threshold, {}, first.base)
    pooled.probabilities = learner.pool(members)
    pooled.cases = min(member.cases for member in members)
    pooled.level = min((member.level for member in members), key=("LOW", "MEDIUM", "HIGH").index)
    return pooled


def _compare_forecast(said: dict[str, Any], mine: Frozen, settings: Settings, differences: Differences) -> None:
    where = f"{said['symbol']} {said['strategy']} at {said['emitted_at_us']}"
    identity = forecast_id(settings.revision, said["symbol"], said["strategy"], settings.horizon_us, said["emitted_at_us"])
    differences.equal(f"{where} id", said["id"], identity)
    for name in ("direction", "overlapping"):
        differences.equal(f"{where} {name}", said[name], getattr(mine, name))
    differences.equal(f"{where} level", said["confidence"], mine.level)
    differences.close(f"{where} price", said["inputs"]["price"], mine.price)
    differences.close(f"{where} threshold", said["inputs"]["threshold"], mine.threshold)
    differences.close(f"{where} cases", said["inputs"]["cases"], mine.cases)
    differences.close(f"{where} probability", said["probability"], mine.probabilities[mine.called])
    for label in LABELS:
        differences.close(f"{where} p({label})", said["inputs"]["probabilities"][label], mine.probabilities[label])
        differences.close(f"{where} b({label})", said["inputs"]["base_rates"][label], mine.base[label])


def _compare_outcomes(said: list[dict[str, Any]], mine: list[tuple[Frozen, str, float]], differences: Differences) -> None:
    differences.equal("number of outcomes", len(said), len(mine))
    for outcome, (frozen, kind, log_return) in zip(said, mine):
        where = f"outcome of {frozen.strategy} at {frozen.emitted_at_us}"
        differences.equal(f"{where} strategy", outcome["forecast"]["strategy"], frozen.strategy)
        differences.equal(f"{where} emitted_at_us", outcome["forecast"]["emitted_at_us"], frozen.emitted_at_us)
        differences.equal(f"{where} kind", outcome["kind"], kind)
        differences.close(f"{where} log_return", outcome["log_return"], log_return, absolute=1e-12)

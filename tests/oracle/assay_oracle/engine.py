"""Runs the engine's `replay` example over records and gives back what it said."""

import json
import os
import subprocess
from dataclasses import asdict, dataclass, field
from typing import Any, Iterable

from .trades import Trade, to_record

SECOND_US = 1_000_000


@dataclass(frozen=True)
class Settings:
    """Settings of a replay; windows short enough for recordings of ten minutes."""

    revision: str = "oracle"
    lateness_us: int = 2 * SECOND_US
    dedupe_window_us: int = 600 * SECOND_US
    window_s: int = 60
    range_bar_s: int = 5
    range_bars: int = 6
    horizon_us: int = 20 * SECOND_US
    volatility_multiple: float = 0.5
    stale_after_us: int = 10 * SECOND_US
    prior_strength: float = 30.0
    decay_outcomes: float = 400.0
    learning_rate: float = 0.1
    entry_z: float = 1.0
    exit_z: float = 0.5
    max_z: float = 3.0
    min_trades: int = 20
    min_deviation_ticks: float = 2.0
    volume_ratio: float = 1.2


@dataclass
class Replay:
    """What the engine said, in order."""

    dispositions: list[str] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    forecasts: list[dict[str, Any]] = field(default_factory=list)
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    calibrations: list[dict[str, Any]] = field(default_factory=list)
    counters: dict[str, Any] = field(default_factory=dict)


def replay(trades: Iterable[Trade], settings: Settings) -> Replay:
    """Steps the engine over the trades as one partition."""
    lines = [json.dumps(asdict(settings)), *map(to_record, trades)]
    command = [os.environ["ASSAY_REPLAY"]]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()}")
    said = Replay()
    for line in done.stdout.splitlines():
        _take(said, json.loads(line))
    return said


def _take(said: Replay, line: dict[str, Any]) -> None:
    [(kind, value)] = line.items()
    if kind == "counters":
        said.counters = value
    else:
        getattr(said, f"{kind}s").append(value)

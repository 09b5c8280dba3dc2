"""The checks: recorded golden values, the engine on recorded, synthetic and adversarial logs."""

import json
from decimal import Decimal
from pathlib import Path

from .acceptance import ACCEPTED, Acceptance
from .adversarial import corrupt
from .differences import Differences
from .engine import Replay, Settings, replay
from .probabilities import compare
from .profile import whole_input
from .rolling import SymbolHistory, compare_view
from .scores import Judged, bins, scores
from .synthetic import reverting
from .trades import Trade, by_symbol, read_coinbase, read_recorded

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "trades"
COINBASE = "coinbase_btcusd_20230905_original"
RECORDINGS = ("binance_spot_btc_eth_20240808", "binance_spot_btc_eth_sol_20250325")
STRATEGIES = ("range-breakout", "vwap-reversion")
SYNTHETIC_SECONDS = 60_000
SPARSE = Settings(window_s=300, range_bar_s=20, horizon_us=60_000_000, stale_after_us=2_000_000)
SYNTHETIC = Settings(window_s=300, range_bar_s=60, horizon_us=60_000_000, entry_z=1.5, min_trades=100)


def recorded(name: str) -> list[Trade]:
    """A committed recording."""
    return read_recorded(FIXTURES / f"{name}.csv.gz")


def golden() -> bool:
    """This side's own whole-input values against the committed table, to the digits given there."""
    differences = Differences("whole-input values against the golden table")
    table = json.loads((Path(__file__).parent / "golden.json").read_text())
    for name, expected in table.items():
        recording, symbol = name.split()
        values = whole_input(by_symbol(recorded(recording))[symbol])._asdict()
        for key, text in expected.items():
            wanted = Decimal(text)
            digits = Decimal(1).scaleb(wanted.as_tuple().exponent)
            differences.equal(f"{name} {key}", Decimal(values[key]).quantize(digits), wanted)
    return differences.report()


def engine() -> bool:
    """The engine on every recording and on a synthetic series; only the last two are long enough for outcomes."""
    agree = [_engine_on(name, recorded(name), Settings(), indicators=True) for name in RECORDINGS]
    agree.append(_engine_on(COINBASE, read_coinbase(FIXTURES / f"{COINBASE}.csv"), SPARSE, indicators=True))
    agree.append(_engine_on("synthetic", reverting(1, SYNTHETIC_SECONDS), SYNTHETIC, indicators=False))
    return all(agree)


def _engine_on(name: str, log: list[Trade], settings: Settings, indicators: bool) -> bool:
    said = replay(log, settings)
    accepted = by_symbol(_accepted(log, settings))
    print(f"{name}: {len(log)} records, {len(said.forecasts)} forecasts, {len(said.outcomes)} outcomes")
    agree = [_dispositions(name, log, said, settings)]
    if indicators:
        agree.append(_indicators(name, accepted, said, settings))
    if said.outcomes:
        agree += [_forecasts(name, accepted, said, settings), _scores(name, said)]
    return all(agree)


def _accepted(log: list[Trade], settings: Settings) -> list[Trade]:
    acceptance = Acceptance(settings.lateness_us, settings.dedupe_window_us)
    return [trade for trade in log if acceptance.judge(trade) == ACCEPTED]


def _dispositions(name: str, log: list[Trade], said: Replay, settings: Settings) -> bool:
    differences = Differences(f"{name}: which records count")
    acceptance = Acceptance(settings.lateness_us, settings.dedupe_window_us)
    differences.equal("dispositions", len(said.dispositions), len(log))
    for at, (trade, found) in enumerate(zip(log, said.dispositions)):
        differences.equal(f"record {at}", found, acceptance.judge(trade))
    return differences.report()


def _indicators(name: str, accepted: dict[str, list[Trade]], said: Replay, settings: Settings) -> bool:
    differences = Differences(f"{name}: rolling indicators of {len(said.views)} views")
    histories = {symbol: SymbolHistory(trades, settings) for symbol, trades in accepted.items()}
    for view in said.views:
        if view["closed"]["watermark_us"]:
            compare_view(histories[view["symbol"]], view, differences)
    return differences.report()


def _forecasts(name: str, accepted: dict[str, list[Trade]], said: Replay, settings: Settings) -> bool:
    differences = Differences(f"{name}: forecasts and outcomes")
    compare(accepted, said, settings, STRATEGIES, differences)
    return differences.report()


def _scores(name: str, said: Replay) -> bool:
    differences = Differences(f"{name}: scores by scikit-learn")
    for sums in said.calibrations:
        judged = [
            Judged(outcome["forecast"]["probability"], outcome["forecast"]["base_rate"], outcome["kind"] == "HIT")
            for outcome in said.outcomes
            if outcome["kind"] != "VOID"
            and (outcome["forecast"]["strategy"], outcome["forecast"]["symbol"]) == (sums["strategy"], sums["symbol"])
        ]
        if not judged:
            continue
        where = f"{sums['strategy']} on {sums['symbol']}"
        for key, value in scores(judged).items():
            differences.close(f"{where} {key}", sums[key], value, absolute=1e-12)
        for at, (mine, found) in enumerate(zip(bins(judged), sums["bins"])):
            differences.equal(f"{where} bin {at}", tuple(found[:2]), mine[:2])
            differences.close(f"{where} bin {at} probabilities", found[2], mine[2])
    return differences.report()


def adversarial() -> bool:
    """The engine on logs made to mislead: every record judged alike, and the share of recorded trades that count."""
    return all([_adversarial(name, seed) for name in RECORDINGS for seed in (1, 2, 3)])


def _adversarial(name: str, seed: int) -> bool:
    settings = Settings()
    entries = corrupt(recorded(name), seed)
    log = [entry.trade for entry in entries]
    said = replay(log, settings)
    genuine = [found for entry, found in zip(entries, said.dispositions) if entry.genuine]
    counted = sum(found == ACCEPTED for found in genuine)
    bad = len(entries) - len(genuine)
    print(f"{name} seed {seed}: {counted} of {len(genuine)} recorded trades count ({counted / len(genuine):.4%}), {bad} bad records")
    agree = [_dispositions(f"{name} seed {seed}", log, said, settings)]
    agree.append(_indicators(f"{name} seed {seed}", by_symbol(_accepted(log, settings)), said, settings))
    return all(agree) and counted >= 0.99 * len(genuine)

"""Scores of judged forecasts by scikit-learn, and by their definitions."""

from typing import NamedTuple, Sequence

import numpy
from sklearn.metrics import brier_score_loss, log_loss

BINS = 20


class Judged(NamedTuple):
    """A judged forecast: probability and base rate of the side called, and whether it came true."""

    probability: float
    base_rate: float
    hit: bool


def scores(judged: Sequence[Judged]) -> dict[str, float]:
    """Brier, reference Brier, Brier skill, log loss (nats) and hit rate."""
    hits = [int(one.hit) for one in judged]
    brier = brier_score_loss(hits, [one.probability for one in judged], pos_label=1)
    reference = brier_score_loss(hits, [one.base_rate for one in judged], pos_label=1)
    return {
        "brier": brier,
        "reference_brier": reference,
        "brier_skill": 1 - brier / reference,
        "log_loss": log_loss(hits, [one.probability for one in judged], labels=[0, 1]),
        "hit_rate": sum(hits) / len(hits),
    }


def bins(judged: Sequence[Judged]) -> list[tuple[int, int, float]]:
    """(count, hits, sum of probabilities) of 20 equal bins, each with its lower edge: scikit-learn's calibration
    bins, which leave empty ones out and so cannot be asked for counts."""
    edges = numpy.linspace(0.0, 1.0, BINS + 1)
    places = numpy.clip(numpy.searchsorted(edges, [one.probability for one in judged], side="right") - 1, 0, BINS - 1)
    filled = []
    for place in range(BINS):
        inside = [one for one, own in zip(judged, places) if own == place]
        filled.append((len(inside), sum(one.hit for one in inside), sum(one.probability for one in inside)))
    return filled

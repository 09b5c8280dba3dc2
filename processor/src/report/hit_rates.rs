//! Hit rate of the last 200 judged forecasts of each strategy with its interval, against their base rate; and the
//! weights of the strategies per symbol.

use super::scale::Scale;
use super::statistics::{as_f64, mean, wilson};
use super::svg::{Drawing, escape};
use super::{ENOUGH, Judged, SymbolReport};

/// Judged forecasts that count as recent.
const RECENT: usize = 200;
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 44.0;

/// One row: name, picture and words.
pub(super) fn row(strategy: &str, judged: &[&Judged]) -> String {
    let recent = &judged[judged.len().saturating_sub(RECENT)..];
    let name = escape(strategy);
    if recent.len() < ENOUGH {
        let have = recent.len();
        return format!(
            r#"<div class="rate"><b>{name}</b><p class="none">not enough data: {have} of {ENOUGH} outcomes</p></div>"#
        );
    }
    let hits = recent.iter().filter(|one| one.hit).count();
    let (rate, (low, high)) = (as_f64(hits) / as_f64(recent.len()), wilson(hits, recent.len()));
    let base = mean(recent.iter().map(|one| one.base_rate)).unwrap_or(0.0);
    format!(
        r#"<div class="rate"><b>{name}</b>{}<p>{:.1} % came true <span class="quiet">({:.1}–{:.1})</span>, base rate {:.1} %, n = {}</p></div>"#,
        picture(rate, (low, high), base),
        rate * 100.0,
        low * 100.0,
        high * 100.0,
        base * 100.0,
        recent.len(),
    )
}

fn picture(rate: f64, (low, high): (f64, f64), base: f64) -> String {
    let x = Scale::new((0.0, 1.0), (12.0, WIDTH - 12.0));
    let mut drawing = Drawing::default();
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        drawing.line("grid", (x.at(tick), 4.0), (x.at(tick), 28.0));
        drawing.text("axis", (x.at(tick), 41.0), "middle", &format!("{:.0}", tick * 100.0));
    }
    drawing.line("base", (x.at(base), 2.0), (x.at(base), 30.0));
    drawing.line("wilson", (x.at(low), 16.0), (x.at(high), 16.0));
    for end in [low, high] {
        drawing.line("wilson", (x.at(end), 11.0), (x.at(end), 21.0));
    }
    drawing.raw(&format!(
        r#"<circle class="observed" cx="{:.1}" cy="16" r="5"/>"#,
        x.at(rate)
    ));
    drawing.finish(
        "hit-rate",
        "Hit rate of the last 200 with its 95 % interval; dashed: base rate",
        (WIDTH, HEIGHT),
    )
}

/// Bars of the weights of one symbol.
pub(super) fn weights(report: &SymbolReport) -> String {
    let none = r#"<p class="none">no forecast yet</p>"#.to_owned();
    let bars = report
        .weights
        .iter()
        .map(|(strategy, weight)| bar(strategy, weight * 100.0));
    let bars: String = if report.weights.is_empty() {
        none
    } else {
        bars.collect()
    };
    format!(r#"<div class="weights"><b>{}</b>{bars}</div>"#, escape(&report.symbol))
}

fn bar(strategy: &str, percent: f64) -> String {
    let name = escape(strategy);
    format!(
        r#"<div class="weight"><span>{name}</span><span class="bar"><i style="width:{percent:.1}%"></i></span><span>{percent:.0} %</span></div>"#
    )
}

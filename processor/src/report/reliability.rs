//! Reliability diagram: how often calls came true, by the probability they were given (Murphy and Winkler 1977), with
//! the lines of an attributes diagram (Hsu and Murphy 1986).

use super::scale::Scale;
use super::statistics::{as_f64, mean, wilson};
use super::svg::{Drawing, escape};
use super::{ENOUGH, Judged};

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 390.0;
const LEFT: f64 = 36.0;
const RIGHT: f64 = 324.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 290.0;
/// Base line of the counts below the diagram.
const COUNTS: f64 = 342.0;
const COUNT_HEIGHT: f64 = 32.0;
const BINS: usize = 20;
/// Fewer forecasts than this in a bin make a hollow point.
const SOLID: usize = 10;

/// The forecasts of one bin.
struct Bin {
    index: usize,
    count: usize,
    hits: usize,
    mean_probability: f64,
}

/// One figure with its caption.
pub(super) fn draw(strategy: &str, judged: &[&Judged]) -> String {
    if judged.len() < ENOUGH {
        let have = format!("not enough data: {} of {ENOUGH} outcomes", judged.len());
        return format!(
            "<figure><b>{}</b><p class=\"none\">{have}</p></figure>",
            escape(strategy)
        );
    }
    let (x, y) = (
        Scale::new((0.0, 1.0), (LEFT, RIGHT)),
        Scale::new((0.0, 1.0), (BOTTOM, TOP)),
    );
    let mut drawing = Drawing::default();
    axes(&mut drawing, &x, &y);
    lines(&mut drawing, &x, &y, judged);
    points(&mut drawing, &x, &y, &bins(judged));
    let label = format!("Reliability of {strategy}");
    let picture = drawing.finish("reliability", &label, (WIDTH, HEIGHT));
    format!(
        "<figure>{picture}<figcaption>{}</figcaption></figure>",
        caption(strategy, judged)
    )
}

fn caption(strategy: &str, judged: &[&Judged]) -> String {
    let skill = brier_skill(judged)
        .map(|skill| format!(", Brier skill {skill:+.3}"))
        .unwrap_or_default();
    format!("<b>{}</b> n = {}{skill}", escape(strategy), judged.len())
}

fn brier_skill(judged: &[&Judged]) -> Option<f64> {
    let error = |p: f64, hit: bool| {
        let miss_by = p - f64::from(u8::from(hit));
        miss_by * miss_by
    };
    let brier = mean(judged.iter().map(|one| error(one.probability, one.hit)))?;
    let reference = mean(judged.iter().map(|one| error(one.base_rate, one.hit)))?;
    (reference > 0.0).then(|| 1.0 - brier / reference)
}

fn axes(drawing: &mut Drawing, x: &Scale, y: &Scale) {
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let percent = format!("{:.0}", tick * 100.0);
        drawing.line("grid", (x.at(tick), TOP), (x.at(tick), BOTTOM));
        drawing.line("grid", (LEFT, y.at(tick)), (RIGHT, y.at(tick)));
        drawing.text("axis", (x.at(tick), BOTTOM + 15.0), "middle", &percent);
        drawing.text("axis", (LEFT - 6.0, y.at(tick) + 4.0), "end", &percent);
    }
    drawing.text(
        "axis",
        (f64::midpoint(LEFT, RIGHT), HEIGHT - 6.0),
        "middle",
        "probability given, %; bars: number of forecasts",
    );
    drawing.raw(&format!(
        r#"<text class="axis" transform="translate(12 {:.0}) rotate(-90)" text-anchor="middle">came true, %</text>"#,
        f64::midpoint(TOP, BOTTOM)
    ));
}

/// The diagonal of perfect calibration, the base rate, and half-way between them the line of no skill.
fn lines(drawing: &mut Drawing, x: &Scale, y: &Scale, judged: &[&Judged]) {
    let base = mean(judged.iter().map(|one| one.base_rate)).unwrap_or(0.0);
    drawing.line("diagonal", (x.at(0.0), y.at(0.0)), (x.at(1.0), y.at(1.0)));
    drawing.line("base", (x.at(0.0), y.at(base)), (x.at(1.0), y.at(base)));
    drawing.line(
        "no-skill",
        (x.at(0.0), y.at(base / 2.0)),
        (x.at(1.0), y.at(f64::midpoint(1.0, base))),
    );
    drawing.text("axis", (x.at(1.0) - 4.0, y.at(base) - 5.0), "end", "base rate");
    drawing.text(
        "axis",
        (x.at(1.0) - 4.0, y.at(f64::midpoint(1.0, base)) + 24.0),
        "end",
        "no skill",
    );
    drawing.text("axis", (x.at(0.86), y.at(0.93)), "end", "perfect");
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a probability times 20 lies in 0–20"
)]
fn bins(judged: &[&Judged]) -> Vec<Bin> {
    let of = |one: &Judged| ((one.probability * 20.0) as usize).min(BINS - 1);
    let inside = |bin| judged.iter().filter(move |one| of(one) == bin);
    let filled = (0..BINS).filter_map(|bin| {
        Some(Bin {
            index: bin,
            count: inside(bin).count(),
            hits: inside(bin).filter(|one| one.hit).count(),
            mean_probability: mean(inside(bin).map(|one| one.probability))?,
        })
    });
    filled.collect()
}

/// How many forecasts a bin holds. Labels of neighbours stand on two rows, so that they do not run into each other.
fn count_bar(drawing: &mut Drawing, x: &Scale, bin: &Bin, most: usize) {
    let (left, right) = (
        x.at(as_f64(bin.index) / as_f64(BINS)),
        x.at(as_f64(bin.index + 1) / as_f64(BINS)),
    );
    let height = (as_f64(bin.count) / as_f64(most) * COUNT_HEIGHT).max(1.0);
    drawing.rectangle("count", (left + 1.0, COUNTS - height), (right - left - 2.0, height));
    let row = if bin.index.is_multiple_of(2) { 11.0 } else { 22.0 };
    drawing.text(
        "count-label",
        (f64::midpoint(left, right), COUNTS + row),
        "middle",
        &bin.count.to_string(),
    );
}

fn points(drawing: &mut Drawing, x: &Scale, y: &Scale, bins: &[Bin]) {
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1);
    for bin in bins {
        let (at, rate) = (x.at(bin.mean_probability), as_f64(bin.hits) / as_f64(bin.count));
        let (low, high) = wilson(bin.hits, bin.count);
        drawing.line("wilson", (at, y.at(low)), (at, y.at(high)));
        for end in [low, high] {
            drawing.line("wilson", (at - 4.0, y.at(end)), (at + 4.0, y.at(end)));
        }
        drawing.raw(&format!(
            r#"<circle class="observed{}" cx="{at:.1}" cy="{:.1}" r="4.5"><title>{} of {} came true</title></circle>"#,
            if bin.count < SOLID { " few" } else { "" },
            y.at(rate),
            bin.hits,
            bin.count
        ));
        count_bar(drawing, x, bin, most);
    }
}

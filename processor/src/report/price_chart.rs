//! Price of a symbol over time with its VWAP, one and two standard deviations around it, the range and the calls; the
//! volume profile stands beside the price axis.

use super::scale::{Scale, clock, time_ticks};
use super::svg::{Drawing, escape, path_data};
use super::{Fate, Mark, Point, SymbolReport, profile_chart};

/// Sizes of one variant of the chart, in pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    class: &'static str,
    width: f64,
    height: f64,
    plot_width: f64,
    axis_width: f64,
    mark_size: f64,
    price_ticks: usize,
    time_ticks: i64,
}

/// For pages from 700 pixels.
pub(super) const WIDE: Frame = Frame {
    class: "wide",
    width: 1160.0,
    height: 420.0,
    plot_width: 890.0,
    axis_width: 74.0,
    mark_size: 1.0,
    price_ticks: 8,
    time_ticks: 9,
};

/// For phones.
pub(super) const NARROW: Frame = Frame {
    class: "narrow",
    width: 360.0,
    height: 300.0,
    plot_width: 224.0,
    axis_width: 62.0,
    mark_size: 0.7,
    price_ticks: 6,
    time_ticks: 4,
};

const TOP: f64 = 10.0;
const BOTTOM: f64 = 24.0;
const TAG_HEIGHT: f64 = 18.0;
/// Distance of a mark from its price.
const MARK_OFFSET: f64 = 13.0;
/// Share of the height left free above and below.
const MARGIN: f64 = 0.08;
/// A pause in trading that breaks lines, microseconds; on a long span, as many pixels.
const PAUSE_US: i64 = 60_000_000;
const PAUSE_PIXELS: f64 = 4.0;

/// Draws one variant; a hint where no second has closed.
pub(super) fn draw(report: &SymbolReport, frame: &Frame) -> String {
    let (Some(first), Some(last)) = (report.points.first(), report.points.last()) else {
        return format!(
            r#"<p class="none {}">No second has closed yet: not enough data.</p>"#,
            frame.class
        );
    };
    let chart = Chart {
        frame,
        x: Scale::new((time(first.time_us), time(last.time_us)), (0.0, frame.plot_width)),
        y: Scale::new(price_span(&report.points), (frame.height - BOTTOM, TOP)),
    };
    let mut drawing = Drawing::default();
    chart.grid(&mut drawing, first.time_us, last.time_us);
    chart.price_axis(&mut drawing, last.price);
    chart.lines(&mut drawing, &report.points);
    chart.marks(&mut drawing, &report.marks);
    chart.last_price(&mut drawing, last.price);
    let left = frame.plot_width + frame.axis_width;
    profile_chart::draw(&mut drawing, &report.profile, &chart.y, (left, frame.width));
    let label = format!(
        "Price of {} with VWAP, bands, range, calls and volume profile",
        report.symbol
    );
    drawing.finish(&format!("chart {}", frame.class), &label, (frame.width, frame.height))
}

#[allow(clippy::cast_precision_loss, reason = "an instant in microseconds lies below 2^53")]
fn time(time_us: i64) -> f64 {
    time_us as f64
}

/// Prices and VWAPs of the span with a margin; bands beyond are cut off.
fn price_span(points: &[Point]) -> (f64, f64) {
    let values = points
        .iter()
        .flat_map(|point| [Some(point.price), point.vwap.map(|(vwap, _)| vwap)])
        .flatten();
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let margin = (high - low) * MARGIN;
    (low - margin, high + margin)
}

struct Chart<'a> {
    frame: &'a Frame,
    x: Scale,
    y: Scale,
}

impl Chart<'_> {
    fn grid(&self, drawing: &mut Drawing, from_us: i64, to_us: i64) {
        let (prices, _) = self.y.ticks(self.frame.price_ticks);
        for price in prices {
            let y = self.y.at(price);
            drawing.line("grid", (0.0, y), (self.frame.plot_width, y));
        }
        for tick in time_ticks(from_us, to_us, self.frame.time_ticks) {
            let x = self.x.at(time(tick));
            drawing.line("grid", (x, TOP), (x, self.frame.height - BOTTOM));
            if x > 18.0 && x < self.frame.plot_width - 18.0 {
                drawing.text("axis", (x, self.frame.height - 7.0), "middle", &clock(tick));
            }
        }
    }

    /// Round prices, but for those that the tag of the last price would cover.
    fn price_axis(&self, drawing: &mut Drawing, last_price: f64) {
        let (prices, decimals) = self.y.ticks(self.frame.price_ticks);
        let tag = self.y.at(last_price);
        for price in prices {
            let y = self.y.at(price);
            if (y - tag).abs() > TAG_HEIGHT {
                let at = (self.frame.plot_width + 6.0, y + 4.0);
                drawing.text("axis", at, "start", &format!("{price:.decimals$}"));
            }
        }
    }

    /// One point a pixel: more could not be seen.
    fn thinned<'p>(&self, points: &'p [Point]) -> Vec<&'p Point> {
        let mut kept: Vec<&Point> = Vec::new();
        for point in points {
            let pixel = |point: &Point| self.x.at(time(point.time_us)).floor();
            if kept.last().is_some_and(|last| (pixel(last) - pixel(point)).abs() < 0.5) {
                kept.pop();
            }
            kept.push(point);
        }
        kept
    }

    fn lines(&self, drawing: &mut Drawing, points: &[Point]) {
        let points = self.thinned(points);
        drawing.raw(&format!(
            r#"<svg x="0" y="{TOP}" width="{}" height="{:.1}" viewBox="0 {TOP} {} {:.1}">"#,
            self.frame.plot_width,
            self.frame.height - BOTTOM - TOP,
            self.frame.plot_width,
            self.frame.height - BOTTOM - TOP,
        ));
        for (class, deviations) in [("band two", 2.0), ("band one", 1.0)] {
            self.band(drawing, class, &points, deviations);
        }
        drawing.path("range", &self.runs(&points, |point| point.range.map(|(_, high)| high)));
        drawing.path("range", &self.runs(&points, |point| point.range.map(|(low, _)| low)));
        drawing.path("vwap", &self.runs(&points, |point| point.vwap.map(|(vwap, _)| vwap)));
        drawing.path("price", &self.runs(&points, |point| Some(point.price)));
        drawing.raw("</svg>");
    }

    /// Unbroken runs of a value: broken where it is unknown and where trading paused.
    fn runs(&self, points: &[&Point], value: impl Fn(&Point) -> Option<f64>) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut previous_us = i64::MIN;
        for point in points {
            let Some(value) = value(point) else {
                previous_us = i64::MIN;
                continue;
            };
            if self.is_pause(previous_us, point.time_us) {
                runs.push(Vec::new());
            }
            previous_us = point.time_us;
            if let Some(run) = runs.last_mut() {
                run.push((self.x.at(time(point.time_us)), self.y.at(value)));
            }
        }
        runs
    }

    fn is_pause(&self, from_us: i64, to_us: i64) -> bool {
        let pixels = self.x.at(time(to_us)) - self.x.at(time(from_us));
        to_us.saturating_sub(from_us) > PAUSE_US && pixels > PAUSE_PIXELS
    }

    fn band(&self, drawing: &mut Drawing, class: &str, points: &[&Point], deviations: f64) {
        let edge = |side: f64| {
            self.runs(points, move |point| {
                point.vwap.map(|(vwap, deviation)| vwap + side * deviations * deviation)
            })
        };
        for (mut upper, lower) in edge(1.0).into_iter().zip(edge(-1.0)) {
            upper.extend(lower.into_iter().rev());
            drawing.raw(&format!(r#"<path class="{class}" d="{}Z"/>"#, path_data(&upper)));
        }
    }

    /// The last price as a tag on the price axis.
    fn last_price(&self, drawing: &mut Drawing, price: f64) {
        let (y, left) = (self.y.at(price), self.frame.plot_width);
        let (_, decimals) = self.y.ticks(self.frame.price_ticks);
        drawing.line("last", (0.0, y), (left, y));
        let corner = (left + 1.0, y - TAG_HEIGHT / 2.0);
        drawing.rectangle("tag", corner, (self.frame.axis_width - 4.0, TAG_HEIGHT));
        drawing.text(
            "tag-text",
            (left + 6.0, y + 4.0),
            "start",
            &format!("{price:.*}", decimals + 1),
        );
    }

    /// Calls to rise stand below the price, calls to fall above it.
    fn marks(&self, drawing: &mut Drawing, marks: &[Mark]) {
        for mark in marks.iter().filter(|mark| self.x.holds(time(mark.time_us))) {
            let offset = self.frame.mark_size * if mark.up { MARK_OFFSET } else { -MARK_OFFSET };
            let at = (self.x.at(time(mark.time_us)), self.y.at(mark.price) + offset);
            drawing.raw(&glyph(
                mark.fate,
                mark.up,
                (at, self.frame.mark_size),
                Some(&mark.title),
            ));
        }
    }
}

/// The sign of a call, 12 pixels wide at size 1: a full triangle hit, a hollow one missed, a ring is open, a dashed diamond is
/// void. The triangle points the way that was called.
pub(super) fn glyph(fate: Fate, up: bool, ((x, y), size): ((f64, f64), f64), title: Option<&str>) -> String {
    let tip = if up { -1.0 } else { 1.0 };
    let triangle = format!("M-6 {:.0}L6 {:.0}L0 {:.0}Z", -5.0 * tip, -5.0 * tip, 6.0 * tip);
    let shape = match fate {
        Fate::Hit => format!(r#"<path class="mark hit" d="{triangle}"/>"#),
        Fate::Miss => format!(r#"<path class="mark miss" d="{triangle}"/>"#),
        Fate::Open => r#"<circle class="mark open" r="5"/><circle class="mark dot" r="1.5"/>"#.to_owned(),
        Fate::Void => r#"<path class="mark void" d="M0 -6L6 0L0 6L-6 0Z"/>"#.to_owned(),
    };
    let title = title
        .map(|title| format!("<title>{}</title>", escape(title)))
        .unwrap_or_default();
    format!(r#"<g transform="translate({x:.1} {y:.1}) scale({size})">{title}{shape}</g>"#)
}

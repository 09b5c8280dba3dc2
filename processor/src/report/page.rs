//! Puts the page together from its template, its style sheet and the charts.

use assay_engine::probability::POOLED;

use super::log::{grouped, outcomes, quality, sign};
use super::price_chart::{NARROW, WIDE, draw};
use super::scale::{date_time, duration};
use super::svg::escape;
use super::{Fate, Judged, Report, SymbolReport, hit_rates, reliability};

const TEMPLATE: &str = include_str!("template.html");
const STYLE: &str = include_str!("style.css");

/// The page as HTML.
#[must_use]
pub fn render(report: &Report) -> String {
    let strategies = strategies(report);
    let by_strategy = |draw: fn(&str, &[&Judged]) -> String| -> String {
        strategies
            .iter()
            .map(|strategy| draw(strategy, &judged_of(report, strategy)))
            .collect()
    };
    let slots = [
        ("{{style}}", STYLE.to_owned()),
        ("{{source}}", escape(&report.source)),
        ("{{facts}}", facts(report)),
        ("{{symbols}}", symbols(report)),
        ("{{legend}}", legend()),
        ("{{reliability}}", by_strategy(reliability::draw)),
        ("{{rates}}", by_strategy(hit_rates::row)),
        ("{{weights}}", report.symbols.iter().map(hit_rates::weights).collect()),
        ("{{outcomes}}", outcomes(&report.log)),
        ("{{quality}}", quality(&report.records)),
        ("{{version}}", escape(&report.version)),
        ("{{revision}}", escape(&report.revision)),
    ];
    fill(TEMPLATE, &slots)
}

/// Fills each slot once, so that no outside text can be taken for a slot.
fn fill(template: &str, slots: &[(&str, String)]) -> String {
    let mut page = String::new();
    let mut rest = template;
    for _ in 0..=template.len() {
        let next = slots
            .iter()
            .filter_map(|(name, text)| Some((rest.find(name)?, name, text)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, name, text)) = next else { break };
        page.push_str(&rest[..at]);
        page.push_str(text);
        rest = &rest[at + name.len()..];
    }
    page + rest
}

/// Names of the strategies, the pool first.
fn strategies(report: &Report) -> Vec<&str> {
    std::iter::once(POOLED)
        .chain(report.strategies.iter().map(String::as_str))
        .collect()
}

fn judged_of<'a>(report: &'a Report, strategy: &str) -> Vec<&'a Judged> {
    report.judged.iter().filter(|one| one.strategy == strategy).collect()
}

fn facts(report: &Report) -> String {
    let trades = report.records.get("accepted").copied().unwrap_or(0);
    let open = report.log.iter().filter(|entry| entry.fate == Fate::Open).count();
    let facts = [
        ("trades", grouped(trades)),
        (
            "symbols",
            grouped((report.symbols.len() + report.not_drawn.len()) as u64),
        ),
        ("judged forecasts", grouped(report.judged.len() as u64)),
        ("open", open.to_string()),
        ("horizon", duration(report.horizon_us)),
    ];
    facts.iter().map(|(name, value)| tile(name, value)).collect()
}

fn tile(name: &str, value: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value))
}

fn symbols(report: &Report) -> String {
    let sections = report.symbols.iter().map(symbol);
    let further = escape(&report.not_drawn.join(", "));
    let names = (!further.is_empty()).then(|| format!(r#"<p class="none">Not drawn: {further}</p>"#));
    sections.chain(names).collect()
}

fn symbol(report: &SymbolReport) -> String {
    let whole = &report.whole;
    let tiles = [
        ("trades", grouped(whole.trades)),
        ("volume", whole.volume.clone()),
        ("VWAP", whole.vwap.clone()),
        ("standard deviation", whole.standard_deviation.clone()),
        ("low – high", format!("{} – {}", whole.low, whole.high)),
        ("point of control", whole.point_of_control.clone()),
        (
            "value area",
            format!("{} – {}", whole.value_area_low, whole.value_area_high),
        ),
    ];
    let tiles: String = tiles.iter().map(|(name, value)| tile(name, value)).collect();
    format!(
        r#"<section><h2>{}</h2><dl class="tiles">{tiles}</dl><p class="quiet">{}</p>{}{}</section>"#,
        escape(&report.symbol),
        span(report),
        draw(report, &WIDE),
        draw(report, &NARROW),
    )
}

/// What the chart spans, in words.
fn span(report: &SymbolReport) -> String {
    let (Some(first), Some(last)) = (report.points.first(), report.points.last()) else {
        return String::new();
    };
    format!(
        "Figures above: whole input. Chart and profile: {} to {} UTC ({}).",
        date_time(first.time_us),
        date_time(last.time_us),
        duration(last.time_us - first.time_us)
    )
}

fn legend() -> String {
    let lines = [
        ("price", "price"),
        ("vwap", "VWAP"),
        ("band one", "1 sd"),
        ("band two", "2 sd"),
        ("range", "range before"),
        ("bought", "bought"),
        ("sold", "sold"),
        ("control", "point of control"),
        ("area", "value area"),
    ];
    let keys = lines.iter().map(|(class, name)| {
        let shape = match *class {
            "price" | "vwap" | "range" | "control" | "area" => format!(r#"<path class="{class}" d="M0 6L22 6"/>"#),
            _ => format!(r#"<rect class="{class} inside" x="0" y="1" width="22" height="10"/>"#),
        };
        format!(r#"<li><svg class="key" viewBox="0 0 22 12" aria-hidden="true">{shape}</svg>{name}</li>"#)
    });
    let signs = Fate::ALL
        .into_iter()
        .map(|fate| format!("<li>{}{}</li>", sign(fate, true), fate.word()));
    keys.chain(signs).collect()
}

//! Costs as bars in an SVG that reads well on light and on dark ground.

use std::fmt::Write as _;

use anyhow::Result;

const WIDTH: f64 = 860.0;
const BAR: f64 = 22.0;
const ROW: f64 = 34.0;
const TOP: f64 = 56.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 400.0;
const LONGEST: f64 = 380.0;

const STYLE: &str = "text { fill: #1b2436 } .quiet { fill: #47536b; font-size: 12.5px } .bar { fill: #9aa5b8 } .own { fill: #1f6f4a } \
     @media (prefers-color-scheme: dark) { text { fill: #e8ecf4 } .quiet { fill: #a9b4c8 } .bar { fill: #66728a } .own { fill: #4fb889 } }";

/// A bar for each row, all on one scale from zero; the rows named `own` stand out.
pub(crate) fn bars(title: &str, rows: &[(&str, f64)], own: &str) -> Result<String> {
    let most = rows.iter().map(|(_, cpu)| *cpu).fold(f64::MIN_POSITIVE, f64::max);
    let mut svg = String::new();
    let mut y = TOP;
    for (name, cpu) in rows {
        let class = if name.starts_with(own) { "own" } else { "bar" };
        let (length, middle) = (cpu / most * LONGEST, y + BAR * 0.7);
        writeln!(
            svg,
            r#"  <text x="{}" y="{middle:.0}" text-anchor="end">{name}</text>"#,
            LEFT - 12.0
        )?;
        writeln!(
            svg,
            r#"  <rect class="{class}" x="{LEFT}" y="{y}" width="{length:.1}" height="{BAR}" rx="3"/>"#
        )?;
        writeln!(
            svg,
            r#"  <text x="{:.1}" y="{middle:.0}">{cpu:.2}</text>"#,
            LEFT + length + 8.0
        )?;
        y += ROW;
    }
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="system-ui, sans-serif" font-size="15" role="img" aria-label="{title}">
  <style>{STYLE}</style>
  <text class="quiet" x="{LEFT}" y="30">{title}</text>
{svg}</svg>
"#
    ))
}

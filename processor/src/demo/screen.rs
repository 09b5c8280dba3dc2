//! What a demo shows while it runs: a live table on a terminal, a line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use assay_engine::SymbolView;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the table is drawn.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a line is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Standard output.
pub struct Screen {
    /// `None` where standard output is no terminal.
    table: Option<ProgressBar>,
    shown: Instant,
}

impl Default for Screen {
    fn default() -> Self {
        let table = std::io::stdout().is_terminal().then(table);
        Self {
            table,
            shown: Instant::now(),
        }
    }
}

fn table() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    match ProgressStyle::with_template("{msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Screen {
    /// Whether it is time to show something again.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.shown.elapsed() >= if self.table.is_some() { REDRAW } else { LINE }
    }

    /// Shows how far the log is worked off, and on a terminal the latest state of each symbol.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub fn show(&mut self, sent: i64, applied: i64, views: &[SymbolView]) -> std::io::Result<()> {
        self.shown = Instant::now();
        let progress = format!("{sent} records sent, {applied} applied");
        match &self.table {
            Some(table) => {
                table.set_message(format!("{progress}\n{}", rows(views)));
                Ok(())
            }
            None => writeln!(std::io::stdout(), "{progress}"),
        }
    }

    /// Prints a line that stays.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub fn say(&self, line: &str) -> std::io::Result<()> {
        match &self.table {
            Some(table) => table.suspend(|| writeln!(std::io::stdout(), "{line}")),
            None => writeln!(std::io::stdout(), "{line}"),
        }
    }

    /// Takes the table away.
    pub fn clear(&self) {
        if let Some(table) = &self.table {
            table.set_message("");
            table.tick();
        }
    }
}

fn rows(views: &[SymbolView]) -> String {
    let mut text = format!(
        "{:<12} {:>14} {:>14} {:>9}  open forecasts\n",
        "symbol", "last", "VWAP", "z"
    );
    for view in views {
        let (vwap, z) = (number(view, "vwap", 2), number(view, "z", 2));
        let last = field(&view.last, "price");
        let open = field(&view.closed, "forecasts").matches("\"strategy\"").count();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:<12} {last:>14} {vwap:>14} {z:>9}  {open}", view.symbol);
    }
    text
}

fn number(view: &SymbolView, name: &str, digits: usize) -> String {
    let value: Option<f64> = field(&view.closed, name).parse().ok();
    value.map_or_else(|| "warming".to_owned(), |value| format!("{value:.digits$}"))
}

fn field<'a>(fields: &'a [(&'static str, String)], name: &str) -> &'a str {
    fields
        .iter()
        .find(|(field, _)| *field == name)
        .map_or("", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_row_shows_what_is_known_and_says_what_warms_up() {
        let view = SymbolView {
            symbol: "BTCUSDT".into(),
            version: 1,
            closed_version: 1,
            last: vec![("price", "61671.55".into())],
            closed: Arc::new(vec![("vwap", "61670.123".into()), ("z", String::new())]),
        };
        let text = rows(&[view]);
        let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["BTCUSDT", "61671.55", "61670.12", "warming", "0"]);
    }
}

//! The main figures of a revision, read back from its rows.

use std::fmt;
use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

/// How the forecasts of one strategy about one symbol fared; those that overlapped another are left out.
#[derive(Debug, Clone, PartialEq, sqlx::FromRow)]
pub struct StrategyFigures {
    /// Strategy, or `pooled`.
    pub strategy_name: String,
    /// Symbol.
    pub symbol: String,
    /// HIT.
    pub hits: i64,
    /// MISS.
    pub misses: i64,
    /// VOID.
    pub voids: i64,
    /// Mean Brier score of the judged.
    pub brier: Option<f64>,
    /// The same of the base rate.
    pub reference_brier: Option<f64>,
    /// Judged forecasts that were published at HIGH.
    pub high: i64,
}

const QUERY: &str = "
    SELECT strategy_name, symbol,
        sum(outcome = 'HIT') AS hits, sum(outcome = 'MISS') AS misses, sum(outcome = 'VOID') AS voids,
        avg(CASE WHEN outcome <> 'VOID' THEN (probability - (outcome = 'HIT')) * (probability - (outcome = 'HIT')) END)
            AS brier,
        avg(CASE WHEN outcome <> 'VOID' THEN (base_rate - (outcome = 'HIT')) * (base_rate - (outcome = 'HIT')) END)
            AS reference_brier,
        sum(outcome <> 'VOID' AND confidence = 'HIGH') AS high
    FROM strategy_results WHERE revision = ? AND NOT overlapping GROUP BY 1, 2 ORDER BY 1, 2";

/// The figures of a revision in the order (strategy, symbol).
///
/// # Errors
/// A file that cannot be opened, or holds other tables.
pub async fn read_figures(results: &Path, revision: &str) -> Result<Vec<StrategyFigures>, sqlx::Error> {
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(results).read_only(true)).await?;
    sqlx::query_as(QUERY).bind(revision).fetch_all(&pool).await
}

impl StrategyFigures {
    /// The line above the figures.
    pub const HEADER: &str = "strategy         symbol          hit   miss   void   hit rate  Brier skill   HIGH";
}

impl fmt::Display for StrategyFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<16} {:<12} {:>6} {:>6} {:>6}",
            self.strategy_name, self.symbol, self.hits, self.misses, self.voids
        )?;
        let judged = self.hits + self.misses;
        let percent = if judged > 0 {
            format!("{} %", self.hits * 100 / judged)
        } else {
            "–".to_owned()
        };
        let skill = self
            .brier
            .zip(self.reference_brier)
            .filter(|(_, reference)| *reference > 0.0);
        let skill = skill.map_or_else(
            || "–".to_owned(),
            |(brier, reference)| format!("{:+.3}", 1.0 - brier / reference),
        );
        write!(f, " {percent:>10} {skill:>12} {:>6}", self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_under_its_header() {
        let figures = StrategyFigures {
            strategy_name: "pooled".into(),
            symbol: "BTCUSDT".into(),
            hits: 30,
            misses: 70,
            voids: 1,
            brier: Some(0.2),
            reference_brier: Some(0.25),
            high: 0,
        };
        let line = figures.to_string();
        assert!(line.contains("30 %") && line.contains("+0.200"), "{line}");
        assert_eq!(line.chars().count(), StrategyFigures::HEADER.chars().count());
        let none = StrategyFigures {
            hits: 0,
            misses: 0,
            brier: None,
            reference_brier: None,
            ..figures
        };
        assert_eq!(none.to_string().matches('–').count(), 2);
    }
}

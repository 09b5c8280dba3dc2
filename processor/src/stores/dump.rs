//! Every row of a revision as sorted text: what the crash tests compare.
//!
//! Leaves out epoch, nonce, snapshots and insertion times, as two runs of one log may differ in them.

use std::fmt::Write as _;

use sqlx::{ColumnIndex, Database, Decode, Row, Type};

/// How a column is read and written down.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Real,
    Text,
    Json,
    Bytes,
    Flag,
    /// `timestamptz` in Postgres, integer microseconds with the suffix `_us` in SQLite.
    Time,
}

/// The dialects differ only in how a column is read.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    Postgres,
    Sqlite,
}

/// A table and its compared columns.
pub(super) struct Table {
    name: &'static str,
    columns: &'static [(&'static str, Kind)],
}

pub(super) const TABLES: [Table; 5] = [
    Table {
        name: "progress",
        columns: &[
            ("partition", Kind::Integer),
            ("start_offset", Kind::Integer),
            ("live_from_offset", Kind::Integer),
            ("next_offset", Kind::Integer),
            ("watermark_us", Kind::Integer),
            ("state_digest", Kind::Text),
            ("record_digest", Kind::Text),
            ("counters", Kind::Json),
        ],
    },
    Table {
        name: "forecasts",
        columns: &[
            ("forecast_id", Kind::Text),
            ("partition", Kind::Integer),
            ("record_offset", Kind::Integer),
            ("phase", Kind::Text),
            ("symbol", Kind::Text),
            ("strategy_name", Kind::Text),
            ("created_at", Kind::Time),
            ("horizon_us", Kind::Integer),
            ("direction", Kind::Text),
            ("probability", Kind::Real),
            ("confidence", Kind::Text),
            ("base_rate", Kind::Real),
            ("overlapping", Kind::Flag),
            ("inputs", Kind::Json),
        ],
    },
    Table {
        name: "strategy_results",
        columns: &[
            ("forecast_id", Kind::Text),
            ("partition", Kind::Integer),
            ("forecast_offset", Kind::Integer),
            ("record_offset", Kind::Integer),
            ("phase", Kind::Text),
            ("symbol", Kind::Text),
            ("strategy_name", Kind::Text),
            ("created_at", Kind::Time),
            ("evaluated_at", Kind::Time),
            ("horizon_us", Kind::Integer),
            ("direction", Kind::Text),
            ("probability", Kind::Real),
            ("confidence", Kind::Text),
            ("base_rate", Kind::Real),
            ("overlapping", Kind::Flag),
            ("outcome", Kind::Text),
            ("void_reason", Kind::Text),
            ("log_return", Kind::Real),
        ],
    },
    Table {
        name: "dead_letters",
        columns: &[
            ("partition", Kind::Integer),
            ("record_offset", Kind::Integer),
            ("reason", Kind::Text),
            ("key", Kind::Bytes),
            ("value", Kind::Bytes),
            ("value_length", Kind::Integer),
            ("headers", Kind::Json),
            ("record_time_us", Kind::Integer),
        ],
    },
    Table {
        name: "faults",
        columns: &[
            ("partition", Kind::Integer),
            ("symbol", Kind::Text),
            ("record_offset", Kind::Integer),
            ("message", Kind::Text),
        ],
    },
];

impl Table {
    /// The statement that reads the table's compared columns; `$1` = pipeline, `$2` = revision.
    pub(super) fn select(&self, dialect: Dialect) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|&(name, kind)| expression(dialect, name, kind))
            .collect();
        format!(
            "SELECT {} FROM {} WHERE pipeline = $1 AND revision = $2",
            columns.join(", "),
            self.name
        )
    }

    /// One line per row: the table's name and its fields, separated by tabs.
    pub(super) fn line<'r, R>(&self, row: &'r R) -> Result<String, sqlx::Error>
    where
        R: Row,
        usize: ColumnIndex<R>,
        i64: Column<'r, R::Database>,
        f64: Column<'r, R::Database>,
        bool: Column<'r, R::Database>,
        String: Column<'r, R::Database>,
        Vec<u8>: Column<'r, R::Database>,
    {
        let mut line = self.name.to_owned();
        for (index, &(_, kind)) in self.columns.iter().enumerate() {
            let text = match kind {
                Kind::Integer | Kind::Time => field::<i64, R>(row, index, |value| value.to_string())?,
                Kind::Real => field::<f64, R>(row, index, |value| format!("{value:?}"))?,
                Kind::Text | Kind::Json => field::<String, R>(row, index, |value| value.escape_default().to_string())?,
                Kind::Bytes => field::<Vec<u8>, R>(row, index, |value| hex(&value))?,
                Kind::Flag => field::<bool, R>(row, index, |value| value.to_string())?,
            };
            line.push('\t');
            line.push_str(&text);
        }
        Ok(line)
    }
}

/// A type that a database's driver can read.
pub(super) trait Column<'r, D: Database>: Decode<'r, D> + Type<D> {}
impl<'r, D: Database, T: Decode<'r, D> + Type<D>> Column<'r, D> for T {}

fn field<'r, T, R>(row: &'r R, index: usize, write: impl Fn(T) -> String) -> Result<String, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    T: Column<'r, R::Database>,
{
    Ok(row
        .try_get::<Option<T>, _>(index)?
        .map_or_else(|| "NULL".to_owned(), write))
}

fn expression(dialect: Dialect, name: &str, kind: Kind) -> String {
    match (dialect, kind) {
        (Dialect::Postgres, Kind::Integer) => format!("\"{name}\"::bigint"),
        (Dialect::Postgres, Kind::Json) => format!("\"{name}\"::text"),
        // In two parts: the server rounds the epoch of its very last times to 16 digits.
        (Dialect::Postgres, Kind::Time) => format!(
            "extract(epoch FROM date_trunc('second', {name}))::bigint * 1000000 \
             + extract(microseconds FROM {name})::bigint % 1000000"
        ),
        (Dialect::Sqlite, Kind::Time) => format!("{name}_us"),
        _ => format!("\"{name}\""),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Sorted lines, each ended by a line feed.
pub(super) fn sorted(mut lines: Vec<String>) -> String {
    lines.sort_unstable();
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

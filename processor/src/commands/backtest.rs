//! `assay backtest`: the engine of the processor on files, without a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_crds::load_pipeline;

use super::feed::{progress_bar, show};
use crate::backtest::{Backtest, BacktestError, Figures, Summary, summarize};
use crate::feed::FeedRecord;
use crate::feed::input::{Input, ReadingArgs, open_files};
use crate::feed::quality::Quality;
use crate::settings::{SettingsError, read};
use crate::stores::SqliteStore;

/// The rows, as tables of a SQLite file.
const RESULTS: &str = "results.sqlite";
/// The figures, as JSON.
const SUMMARY: &str = "summary.json";

/// Arguments of `assay backtest`.
#[derive(Debug, Clone, clap::Args)]
pub struct BacktestArgs {
    /// Manifest of the StrategyPipeline whose settings are used, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// Files of trades, one behind the other, plain or gzipped.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub trades: Vec<PathBuf>,
    /// Folder for results.sqlite and summary.json; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Offset in each partition from which rows are LIVE; earlier ones are REPLAYED.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub live_from: i64,
    /// How the files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The manifest.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The run.
    #[error(transparent)]
    Backtest(#[from] BacktestError),
    /// The output folder holds something.
    #[error("{0} is not empty; name another folder with --out, or remove this one")]
    NotEmpty(PathBuf),
    /// The output folder cannot be written.
    #[error("{path}: {source}; check --out")]
    Output {
        /// Path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Applies the files and writes both results; gives the summary.
///
/// # Errors
/// A manifest, a file or a folder that is not as it must be.
pub async fn backtest(args: &BacktestArgs) -> Result<Summary, CommandError> {
    let text = read(&args.pipeline, "--pipeline")?;
    let pipeline = load_pipeline(&text).map_err(SettingsError::from)?;
    let input = open_files(&args.reading, &args.trades).map_err(BacktestError::from)?;
    make_empty(&args.out)?;
    let store = SqliteStore::open(&args.out.join(RESULTS))
        .await
        .map_err(BacktestError::from)?;
    let run = Backtest::start(&pipeline, store, args.live_from).await?;
    let summary = apply(run, input).await?;
    write_summary(&args.out.join(SUMMARY), &summary)?;
    Ok(summary)
}

async fn apply(mut run: Backtest<SqliteStore>, input: Input) -> Result<Summary, BacktestError> {
    let bar = progress_bar(&input.progress);
    let mut quality = Quality::new(input.dense_ids);
    let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
    for record in input.records {
        let record = record?;
        quality.observe(&record);
        if let FeedRecord::Trade(trade) = &record {
            let trade = trade.as_trade();
            match figures.get_mut(trade.symbol) {
                Some(figures) => figures.add(&trade),
                None => {
                    let mut first = Figures::new(run.settings(), &trade);
                    first.add(&trade);
                    figures.insert(trade.symbol.to_owned(), first);
                }
            }
        }
        run.apply(&record).await?;
        show(&bar, &input.progress, &quality);
    }
    bar.finish_and_clear();
    Ok(summarize(&run.finish().await?, &quality, &figures))
}

fn make_empty(folder: &Path) -> Result<(), CommandError> {
    let failed = |source| CommandError::Output {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    match std::fs::read_dir(folder).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(CommandError::NotEmpty(folder.to_owned())),
    }
}

fn write_summary(path: &Path, summary: &Summary) -> Result<(), CommandError> {
    let failed = |source| CommandError::Output {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_string_pretty(summary).map_err(|error| failed(error.into()))?;
    text.push('\n');
    std::fs::write(path, text).map_err(failed)
}

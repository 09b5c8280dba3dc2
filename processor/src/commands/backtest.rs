//! `assay backtest`: the engine of the processor on files, without a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_crds::load_pipeline;
use indicatif::ProgressBar;

use super::feed::{progress_bar, show};
use crate::backtest::{Backtest, BacktestError, Figures, FiguresText, Finished, Summary, summarize};
use crate::feed::FeedRecord;
use crate::feed::input::{Input, ReadingArgs, open_files};
use crate::feed::quality::Quality;
use crate::report::{WholeInput, render};
use crate::settings::{SettingsError, read, standalone_instance};
use crate::stores::{ResultStore, SqliteStore};

/// The rows, as tables of a SQLite file.
const RESULTS: &str = "results.sqlite";
/// The figures, as JSON.
const SUMMARY: &str = "summary.json";
/// The same for the eye.
const REPORT: &str = "report.html";

/// Arguments of `assay backtest`.
#[derive(Debug, Clone, clap::Args)]
pub struct BacktestArgs {
    /// Manifest of the `StrategyPipeline` whose settings are used, YAML or JSON.
    #[arg(long, value_name = "FILE")]
    pub pipeline: PathBuf,
    /// Files of trades, one behind the other, plain or gzipped.
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub trades: Vec<PathBuf>,
    /// Folder for results.sqlite, summary.json and report.html; it must not exist, or be empty.
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

/// Applies the files and writes rows, figures and page; gives the figures.
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
    let instance = standalone_instance(&pipeline, 1).map_err(BacktestError::from)?;
    let run = Backtest::start(&pipeline, instance, store, args.live_from).await?;
    let bar = progress_bar(&input.progress);
    let results = apply(run, input, &bar).await?;
    bar.finish_and_clear();
    write(&args.out.join(SUMMARY), &json(&results.summary, &args.out)?)?;
    write(&args.out.join(REPORT), &results.page(&source_of(&args.trades)))?;
    Ok(results.summary)
}

/// What came of a whole input.
pub(super) struct Results<S> {
    /// The figures.
    summary: Summary,
    /// The run.
    pub(super) finished: Finished<S>,
}

/// Applies a whole input.
pub(super) async fn apply<S: ResultStore>(
    mut run: Backtest<S>,
    input: Input,
    bar: &ProgressBar,
) -> Result<Results<S>, BacktestError> {
    let mut quality = Quality::new(input.dense_ids);
    let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
    for record in input.records {
        let record = record?;
        quality.observe(&record);
        if let FeedRecord::Trade(trade) = &record {
            let trade = trade.as_trade();
            if let Some(figures) = figures.get_mut(trade.symbol) {
                figures.add(&trade);
            } else {
                let mut first = Figures::new(run.settings(), &trade);
                first.add(&trade);
                figures.insert(trade.symbol.to_owned(), first);
            }
        }
        run.apply(&record).await?;
        show(bar, &input.progress, &quality);
    }
    let finished = run.finish().await?;
    Ok(Results {
        summary: summarize(&finished, &quality, &figures),
        finished,
    })
}

impl<S> Results<S> {
    /// The page; `source` says what was read.
    pub(super) fn page(&self, source: &str) -> String {
        let symbols = self.summary.symbols.iter();
        let whole = symbols
            .map(|(symbol, figures)| (symbol.clone(), whole_input(figures)))
            .collect();
        let recorder = &self.finished.recorder;
        render(&recorder.report(source, &self.finished.counters, &whole))
    }
}

fn whole_input(figures: &FiguresText) -> WholeInput {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
    WholeInput {
        trades: figures.trades,
        volume: figures.volume.clone(),
        vwap: text(&figures.vwap),
        standard_deviation: text(&figures.standard_deviation),
        low: figures.low.clone(),
        high: figures.high.clone(),
        point_of_control: text(&figures.point_of_control),
        value_area_low: text(&figures.value_area_low),
        value_area_high: text(&figures.value_area_high),
    }
}

/// The names of the files without their folders.
fn source_of(files: &[PathBuf]) -> String {
    let names = files
        .iter()
        .filter_map(|file| Some(file.file_name()?.to_string_lossy().into_owned()));
    names.collect::<Vec<_>>().join(", ")
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

fn json(summary: &Summary, folder: &Path) -> Result<String, CommandError> {
    let text = serde_json::to_string_pretty(summary).map_err(|error| CommandError::Output {
        path: folder.join(SUMMARY),
        source: error.into(),
    })?;
    Ok(text + "\n")
}

/// Writes a file of results.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    std::fs::write(path, text).map_err(|source| CommandError::Output {
        path: path.to_owned(),
        source,
    })
}

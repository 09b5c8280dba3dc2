//! `assay backtest`: the engine of the processor on files, without a server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use assay_crds::{StrategyPipeline, load_pipeline};
use indicatif::ProgressBar;

use super::feed::{progress_bar, show};
use crate::backtest::{Backtest, BacktestError, Figures, FiguresText, Finished, Summary, summarize};
use crate::feed::input::{Input, ReadingArgs, open_files};
use crate::feed::quality::Quality;
use crate::feed::{FeedRecord, InputError};
use crate::report::{WholeInput, render};
use crate::settings::{SettingsError, read, standalone_instance};
use crate::stores::{ResultStore, SqliteStore, StoreError};

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
    /// The files of trades.
    #[error("--trades: {0}")]
    Trades(InputError),
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
    let input = open_files(&args.reading, &args.trades).map_err(CommandError::Trades)?;
    let made = make_empty(&args.out)?;
    let summary = run(args, &pipeline, input).await;
    if summary.is_err() {
        remove(&args.out, &made);
    }
    summary
}

/// Fills the folder.
async fn run(args: &BacktestArgs, pipeline: &StrategyPipeline, input: Input) -> Result<Summary, CommandError> {
    let failed = |error: StoreError| CommandError::Backtest(error.into());
    let store = SqliteStore::open(&args.out.join(RESULTS)).await.map_err(failed)?;
    let results = results(args, pipeline, input, store.clone()).await;
    let closed = store.close().await;
    let results = results?;
    closed.map_err(failed)?;
    write(&args.out.join(SUMMARY), &json(&results.summary, &args.out)?)?;
    write(&args.out.join(REPORT), &results.page(&source_of(&args.trades)))?;
    Ok(results.summary)
}

async fn results(
    args: &BacktestArgs,
    pipeline: &StrategyPipeline,
    input: Input,
    store: SqliteStore,
) -> Result<Results<SqliteStore>, BacktestError> {
    let instance = standalone_instance(pipeline, 1)?;
    let run = Backtest::start(pipeline, instance, store, args.live_from).await?;
    let bar = progress_bar(&input.progress);
    let results = apply(run, input, &bar).await?;
    bar.finish_and_clear();
    Ok(results)
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

/// Gives the folders that were not there before, the innermost first.
fn make_empty(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let made = folder.ancestors().take_while(missing).map(Path::to_owned).collect();
    let failed = |source| CommandError::Output {
        path: folder.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    match std::fs::read_dir(folder).map_err(failed)?.next() {
        None => Ok(made),
        Some(_) => Err(CommandError::NotEmpty(folder.to_owned())),
    }
}

/// Takes back what a failed run left, so that the next may use the same folder. The error that ended the run is the one to tell: what
/// cannot be removed stays.
fn remove(folder: &Path, made: &[PathBuf]) {
    let beside = ["-wal", "-shm", "-journal"].map(|suffix| format!("{RESULTS}{suffix}"));
    let files = [RESULTS, SUMMARY, REPORT]
        .into_iter()
        .chain(beside.iter().map(String::as_str));
    for file in files {
        let _ = std::fs::remove_file(folder.join(file));
    }
    for folder in made {
        // Only where it is empty.
        let _ = std::fs::remove_dir(folder);
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

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "symbol,trade_id,ts_us,price,qty,side,recv_ns\n";

    fn args(folder: &Path, trades: &str) -> BacktestArgs {
        let file = folder.join("trades.csv");
        std::fs::write(&file, HEADER.to_owned() + trades).unwrap();
        BacktestArgs {
            pipeline: Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples/demo.yaml"),
            trades: vec![file],
            out: folder.join("new/results"),
            reading: ReadingArgs {
                format: None,
                venue: "binance".into(),
                tick_interval: None,
            },
            live_from: 0,
        }
    }

    #[tokio::test]
    async fn the_file_of_rows_may_be_copied_alone() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path(), "BTCUSDT,1,1000000,5,1,sell,\n");
        backtest(&args).await.unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&args.out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [REPORT, RESULTS, SUMMARY]);
        let copy = folder.path().join("copy.sqlite");
        std::fs::copy(args.out.join(RESULTS), &copy).unwrap();
        let pipeline = load_pipeline(&read(&args.pipeline, "--pipeline").unwrap()).unwrap();
        let instance = standalone_instance(&pipeline, 1).unwrap();
        let copied = SqliteStore::open(&copy).await.unwrap();
        let progress = copied.progress(&instance.pipeline, &instance.revision).await.unwrap();
        assert_eq!(progress.iter().map(|progress| progress.next_offset).sum::<i64>(), 1);
    }

    #[tokio::test]
    async fn a_failed_run_takes_back_what_it_made_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(
            folder.path(),
            "BTCUSDT,1,1000000,5,1,sell,\nBTCUSDT,2,1000000,NaN,1,sell,\n",
        );
        let error = backtest(&args).await.unwrap_err().to_string();
        assert!(error.contains("trades.csv: row 3: "), "{error}");
        let left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["trades.csv"]);
        std::fs::create_dir_all(&args.out).unwrap();
        backtest(&args).await.unwrap_err();
        assert!(args.out.exists(), "a folder that was there before stays");
    }

    #[tokio::test]
    async fn a_missing_file_of_trades_is_named_with_its_option() {
        let folder = tempfile::tempdir().unwrap();
        let mut args = args(folder.path(), "");
        args.trades = vec!["/nonexistent.csv".into()];
        let error = backtest(&args).await.unwrap_err().to_string();
        assert!(error.starts_with("--trades: /nonexistent.csv: "), "{error}");
    }

    #[tokio::test]
    async fn an_input_without_a_trade_is_told_with_what_it_held_instead() {
        let folder = tempfile::tempdir().unwrap();
        let mut args = args(folder.path(), "");
        args.reading.format = Some(crate::feed::input::Format::Binance);
        let told = backtest(&args).await.unwrap().to_string();
        assert!(
            told.starts_with("the input held no trade; check --trades and --format\n"),
            "{told}"
        );
        assert!(told.contains("\nskipped: 1 × "), "{told}");
    }
}

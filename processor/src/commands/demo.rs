//! `assay demo`: the product in one process, from trades to checked probabilities, without installing anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_crds::load_pipeline;
use indicatif::ProgressBar;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use super::backtest::{apply, write};
use crate::backtest::Backtest;
use crate::demo::{DemoError, Screen, Stage, StrategyFigures, read_figures, run_stage};
use crate::feed::input::{Input, ReadingArgs, ReadingProgress, open_embedded};
use crate::feed::pace::Speed;
use crate::feed::synthetic::{Model, Synthetic};
use crate::settings::standalone_instance;
use crate::stores::{ResultStore, SqliteStore};

/// A part of the demo: a log of its own, and a page of its own.
struct Part {
    title: &'static str,
    /// What the page shows.
    source: &'static str,
    page: &'static str,
    /// The same trades each time it is called.
    stage: fn() -> Result<Stage, DemoError>,
}

static PARTS: [Part; 3] = [
    Part {
        title: "An hour of BTC-USD as Coinbase printed it, in fifteen seconds, two-minute windows:",
        source: "an hour of BTC-USD",
        page: "report-hour.html",
        stage: recorded_hour,
    },
    Part {
        title: "Eleven minutes of BTCUSDT and ETHUSDT as Binance printed them, in ten seconds:",
        source: "eleven minutes of BTCUSDT and ETHUSDT",
        page: "report-minutes.html",
        stage: recorded_minutes,
    },
    Part {
        title: "Seven synthetic days: WALK cannot be foreseen, REVERSION can, half-hour windows:",
        source: "seven synthetic days",
        page: "report.html",
        stage: synthetic,
    },
];
/// Recordings inside the program; licences and sources stand beside the files.
const COINBASE_HOUR: &[u8] = include_bytes!("../../../tests/fixtures/trades/coinbase_btcusd_20230905_original.csv");
const BINANCE_MINUTES: &[u8] = include_bytes!("../../../tests/fixtures/trades/binance_spot_btc_eth_20240808.csv.gz");
/// Windows short enough for an hour.
const RECORDED_PIPELINE: &str = include_str!("../../../deploy/samples/demo.yaml");
/// The defaults, for a week.
const SYNTHETIC_PIPELINE: &str = include_str!("../../../deploy/samples/majors.yaml");
/// Seven days.
const SYNTHETIC_SECONDS: u32 = 7 * 86_400;
/// Mean trades per second and symbol of the synthetic days.
const SYNTHETIC_RATE: f64 = 0.5;
/// 2024-01-01T00:00:00Z.
const SYNTHETIC_START_US: i64 = 1_704_067_200_000_000;

/// Arguments of `assay demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Folder for results.sqlite and the pages; it must not hold one. Default: a new folder for temporary files.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs all parts and tells what came of them.
///
/// # Errors
/// Any part that fails.
pub async fn demo(args: &DemoArgs) -> Result<(), DemoError> {
    let folder = make_folder(args)?;
    let results = folder.join("results.sqlite");
    let store: Arc<dyn ResultStore> = Arc::new(SqliteStore::open(&results).await?);
    let mut screen = Screen::default();
    let backtests = start_backtests();
    for part in &PARTS {
        screen.say(part.title).map_err(DemoError::Screen)?;
        let revision = run_stage((part.stage)()?, &store, &mut screen).await?;
        tell(&screen, &results, &revision).await?;
    }
    for backtest in backtests.await.map_err(|_| DemoError::Ended)?? {
        backtest.compare_and_write(store.as_ref(), &folder).await?;
    }
    for line in farewell(&folder, &results) {
        screen.say(&line).map_err(DemoError::Screen)?;
    }
    Ok(())
}

/// What a backtest of a part's trades made.
struct Backtested {
    pipeline: String,
    revision: String,
    rows: String,
    page: String,
    /// Name of the page.
    name: &'static str,
}

/// Backtests all parts on a thread of their own, while the recordings take their time.
fn start_backtests() -> JoinHandle<Result<Vec<Backtested>, DemoError>> {
    let runtime = Handle::current();
    spawn_blocking(move || PARTS.iter().map(|part| runtime.block_on(backtest(part))).collect())
}

async fn backtest(part: &Part) -> Result<Backtested, DemoError> {
    let stage = (part.stage)()?;
    let instance = standalone_instance(&stage.pipeline, stage.instance)?;
    let (pipeline, revision) = (instance.pipeline.clone(), instance.revision.clone());
    let run = Backtest::start(&stage.pipeline, instance, SqliteStore::in_memory().await?, 0).await?;
    let results = apply(run, stage.input, &ProgressBar::hidden()).await?;
    Ok(Backtested {
        rows: results.finished.store.dump(&pipeline, &revision).await?,
        page: results.page(part.source),
        name: part.page,
        pipeline,
        revision,
    })
}

impl Backtested {
    /// The page may stand for the run only if both have the same rows.
    async fn compare_and_write(&self, run: &dyn ResultStore, folder: &Path) -> Result<(), DemoError> {
        if run.dump(&self.pipeline, &self.revision).await? != self.rows {
            return Err(DemoError::Differs(self.revision.clone()));
        }
        Ok(write(&folder.join(self.name), &self.page)?)
    }
}

fn farewell(folder: &Path, results: &Path) -> Vec<String> {
    let lines = [
        "Each probability is the share of comparable past cases. Skill above 0 beats the base rate.".to_owned(),
        format!(
            "Every forecast and its outcome: sqlite3 {} 'select * from strategy_results'",
            results.display()
        ),
        "Backtests of the same trades gave the same rows. Their pages, for a browser:".to_owned(),
    ];
    let page = |part: &Part| format!("  {} ({})", folder.join(part.page).display(), part.source);
    lines.into_iter().chain(PARTS.iter().map(page)).collect()
}

fn make_folder(args: &DemoArgs) -> Result<PathBuf, DemoError> {
    let temporary = || std::env::temp_dir().join(format!("assay-demo-{}", std::process::id()));
    let folder = args.out.clone().unwrap_or_else(temporary);
    let failed = |source| DemoError::Output {
        path: folder.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(failed)?;
    if folder.join("results.sqlite").exists() {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    }
    Ok(folder)
}

fn recorded_hour() -> Result<Stage, DemoError> {
    recorded(COINBASE_HOUR, 1, 240.0)
}

fn recorded_minutes() -> Result<Stage, DemoError> {
    recorded(BINANCE_MINUTES, 2, 65.0)
}

/// `speed`: seconds of the recording that pass in one.
fn recorded(bytes: &'static [u8], instance: u32, speed: f64) -> Result<Stage, DemoError> {
    let reading = ReadingArgs {
        format: None,
        venue: "binance".to_owned(),
        tick_interval: Some(1),
    };
    Ok(Stage {
        pipeline: load_pipeline(RECORDED_PIPELINE)?,
        instance,
        input: open_embedded(&reading, "recorded trades", bytes)?,
        speed: Speed::Times(speed),
    })
}

fn synthetic() -> Result<Stage, DemoError> {
    let series = Synthetic {
        seed: 1,
        symbols: vec![
            ("WALK".to_owned(), Model::Walk),
            ("REVERSION".to_owned(), Model::Reversion),
        ],
        start_us: SYNTHETIC_START_US,
        seconds: SYNTHETIC_SECONDS,
        rate: SYNTHETIC_RATE,
    };
    let input = Input {
        records: series.records(),
        dense_ids: true,
        progress: ReadingProgress::default(),
    };
    Ok(Stage {
        pipeline: load_pipeline(SYNTHETIC_PIPELINE)?,
        instance: 1,
        input,
        speed: Speed::Full,
    })
}

async fn tell(screen: &Screen, results: &Path, revision: &str) -> Result<(), DemoError> {
    let all = read_figures(results, revision).await?;
    let header = if all.is_empty() {
        "No forecast yet: a symbol's volatility is known after eleven minutes."
    } else {
        StrategyFigures::HEADER
    };
    screen.say(header).map_err(DemoError::Screen)?;
    for figures in all {
        screen.say(&figures.to_string()).map_err(DemoError::Screen)?;
    }
    screen.say("").map_err(DemoError::Screen)
}

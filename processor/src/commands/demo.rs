//! `assay demo`: the product in one process, from trades to checked probabilities, without installing anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_crds::load_pipeline;

use crate::demo::{DemoError, Screen, Stage, StrategyFigures, read_figures, run_stage};
use crate::feed::input::{Input, ReadingArgs, ReadingProgress, open_embedded};
use crate::feed::pace::Speed;
use crate::feed::synthetic::{Model, Synthetic};
use crate::stores::{ResultStore, SqliteStore};

/// A recording inside the program; licences and sources stand beside the files.
struct Recording {
    title: &'static str,
    bytes: &'static [u8],
    /// Seconds of the recording that pass in one.
    speed: f64,
}

const RECORDINGS: [Recording; 2] = [
    Recording {
        title: "An hour of BTC-USD as Coinbase printed it, in fifteen seconds, two-minute windows:",
        bytes: include_bytes!("../../../tests/fixtures/trades/coinbase_btcusd_20230905_original.csv"),
        speed: 240.0,
    },
    Recording {
        title: "Eleven minutes of BTCUSDT and ETHUSDT as Binance printed them, in ten seconds:",
        bytes: include_bytes!("../../../tests/fixtures/trades/binance_spot_btc_eth_20240808.csv.gz"),
        speed: 65.0,
    },
];
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
    /// Folder for results.sqlite; it must not hold one. Default: a new folder for temporary files.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Runs both stages and tells what came of them.
///
/// # Errors
/// Any part that fails.
pub async fn demo(args: &DemoArgs) -> Result<(), DemoError> {
    let results = make_folder(args)?.join("results.sqlite");
    let store: Arc<dyn ResultStore> = Arc::new(SqliteStore::open(&results).await?);
    let mut screen = Screen::default();
    let say = |screen: &Screen, line: &str| screen.say(line).map_err(DemoError::Screen);

    for (recording, instance) in RECORDINGS.iter().zip(1..) {
        say(&screen, recording.title)?;
        let revision = run_stage(recorded(recording, instance)?, &store, &mut screen).await?;
        tell(&screen, &results, &revision).await?;
    }
    say(
        &screen,
        "Seven synthetic days: WALK cannot be foreseen, REVERSION can, half-hour windows:",
    )?;
    let revision = run_stage(synthetic()?, &store, &mut screen).await?;
    tell(&screen, &results, &revision).await?;

    say(
        &screen,
        "Each probability is the share of comparable past cases. Skill above 0 beats the base rate.",
    )?;
    say(
        &screen,
        &format!(
            "Every forecast and its outcome: sqlite3 {} 'select * from strategy_results'",
            results.display()
        ),
    )
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

fn recorded(recording: &Recording, instance: u32) -> Result<Stage, DemoError> {
    let reading = ReadingArgs {
        format: None,
        venue: "binance".to_owned(),
        tick_interval: Some(1),
    };
    Ok(Stage {
        pipeline: load_pipeline(RECORDED_PIPELINE)?,
        instance,
        input: open_embedded(&reading, "recorded trades", recording.bytes)?,
        speed: Speed::Times(recording.speed),
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

//! `assay demo`: the product in one process, from trades to checked probabilities, without installing anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assay_crds::load_pipeline;

use crate::demo::{DemoError, Screen, Stage, StrategyFigures, read_figures, run_stage};
use crate::feed::input::{Input, ReadingProgress, open_embedded};
use crate::feed::pace::Speed;
use crate::feed::synthetic::{Model, Synthetic};
use crate::stores::{ResultStore, SqliteStore};

/// Ten minutes of Bitcoin and Ether as Binance printed them; licence and source stand beside the file.
const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/trades/binance_spot_btc_eth_20240808.csv.gz");
/// Windows short enough for ten minutes.
const RECORDED_PIPELINE: &str = include_str!("../../../deploy/samples/demo.yaml");
/// The defaults, for a week.
const SYNTHETIC_PIPELINE: &str = include_str!("../../../deploy/samples/majors.yaml");
/// The recorded minutes pass in a quarter of one.
const RECORDED_SPEED: f64 = 40.0;
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

    say(
        &screen,
        "Ten recorded minutes of BTCUSDT and ETHUSDT, forty times as fast, two-minute windows:",
    )?;
    let revision = run_stage(recorded()?, &store, &mut screen).await?;
    tell(&screen, &results, &revision).await?;

    say(
        &screen,
        "\nSeven synthetic days: WALK cannot be foreseen, REVERSION can, half-hour windows:",
    )?;
    let revision = run_stage(synthetic()?, &store, &mut screen).await?;
    tell(&screen, &results, &revision).await?;

    say(
        &screen,
        "\nEach probability is the share of comparable past cases. Skill above 0 beats the base rate.",
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

fn recorded() -> Result<Stage, DemoError> {
    Ok(Stage {
        pipeline: load_pipeline(RECORDED_PIPELINE)?,
        input: open_embedded("recorded trades", RECORDED, "binance", Some(1)),
        speed: Speed::Times(RECORDED_SPEED),
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
        input,
        speed: Speed::Full,
    })
}

async fn tell(screen: &Screen, results: &Path, revision: &str) -> Result<(), DemoError> {
    screen.say(StrategyFigures::HEADER).map_err(DemoError::Screen)?;
    for figures in read_figures(results, revision).await? {
        screen.say(&figures.to_string()).map_err(DemoError::Screen)?;
    }
    Ok(())
}

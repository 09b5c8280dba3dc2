//! Trades that come in while things fail, portion by portion, until they are stopped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, anyhow, ensure};
use assay_tests::processor::binary;
use assay_tests::scratch::Scratch;

/// Five hours of twelve symbols, more than the faults take.
const SERIES: [&str; 10] = [
    "--synthetic",
    "regimes",
    "--symbols",
    "A,B,C,D,E,F,G,H,I,J,K,L",
    "--duration",
    "5h",
    "--rate",
    "2",
    "--seed",
    "7",
];
const PORTIONS: usize = 150;
/// Each portion, two minutes of trades, takes five seconds.
const SPEED: &str = "24";

/// A feed in the background.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    feeding: JoinHandle<Result<Vec<PathBuf>>>,
    /// Holds the portions.
    _scratch: Scratch,
}

impl Load {
    /// Starts to feed.
    pub(crate) fn start(brokers: &str) -> Result<Self> {
        let scratch = Scratch::new("load")?;
        let portions = write_portions(scratch.path())?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, brokers) = (Arc::clone(&stop), brokers.to_owned());
        let feeding = std::thread::spawn(move || {
            let mut fed = Vec::new();
            for portion in portions {
                if stopped.load(Ordering::Relaxed) {
                    return Ok(fed);
                }
                feed(&brokers, &portion)?;
                fed.push(portion);
            }
            Err(anyhow!("the trades ended before the faults did"))
        });
        Ok(Self {
            stop,
            feeding,
            _scratch: scratch,
        })
    }

    /// Stops after the present portion and hands the portions that were fed to `judge`.
    pub(crate) fn finish(self, judge: impl FnOnce(&[PathBuf]) -> Result<()>) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let fed = self.feeding.join().map_err(|_| anyhow!("the feed panicked"))?;
        judge(&fed?)
    }
}

fn write_portions(folder: &Path) -> Result<Vec<PathBuf>> {
    let whole = folder.join("whole.jsonl");
    let mut command = Command::new(binary()?);
    command
        .arg("feed")
        .args(SERIES)
        .arg("--dry-run")
        .stdout(File::create(&whole)?);
    ensure!(command.status()?.success(), "the series cannot be written");
    let text = std::fs::read_to_string(whole)?;
    let trades: Vec<&str> = text.lines().collect();
    let portions = trades.chunks(trades.len().div_ceil(PORTIONS)).enumerate();
    portions
        .map(|(number, trades)| {
            let file = folder.join(format!("{number}.jsonl"));
            std::fs::write(&file, trades.join("\n") + "\n")?;
            Ok(file)
        })
        .collect()
}

fn feed(brokers: &str, portion: &Path) -> Result<()> {
    let mut command = Command::new(binary()?);
    command
        .arg("feed")
        .arg(portion)
        .args(["--speed", SPEED, "--brokers", brokers]);
    let output = command.stdin(Stdio::null()).output().context("cannot start the feed")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

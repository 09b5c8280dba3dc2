//! The options that name an input, and the input they open: files of any format, or a synthetic series.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::gaps::with_gaps;
use super::synthetic::{Model, Synthetic};
use super::ticks::with_ticks;
use super::{InputError, Records, reading};
use crate::ingest::fields;
use crate::venues;

/// What a file holds, one row or message a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Recorded CSV: `symbol,trade_id,ts_us,price,qty,side,recv_ns`.
    Csv,
    /// Coinbase's CSV: `symbol,side,price,amount,timestamp`.
    CoinbaseCsv,
    /// Canonical JSON, as it stands in the topic.
    Json,
    /// Binance messages: @trade or @aggTrade, raw or combined streams.
    Binance,
    /// Coinbase messages of the channel `matches`.
    Coinbase,
    /// Kraken messages of the channel `trade`, v1 or v2.
    Kraken,
}

impl Format {
    /// Whether the ids of these trades have no holes unless trades are missing.
    fn has_dense_ids(self) -> bool {
        matches!(self, Self::Csv | Self::Binance | Self::Coinbase)
    }

    /// Whether a hole is told to the engine. A CSV may be an excerpt on purpose, and its holes are only counted.
    fn tells_gaps(self) -> bool {
        matches!(self, Self::Binance | Self::Coinbase)
    }
}

/// How files are read.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadingArgs {
    /// Format of the files; told from their first lines where it can be (not for messages of venues).
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// Venue of recorded CSV files, which do not name it.
    #[arg(long, default_value = "binance", value_parser = parse_venue)]
    pub venue: String,
    /// Add a tick to every partition whenever event time passes a whole multiple of so many seconds.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub tick_interval: Option<u32>,
}

/// What a synthetic series is made of.
#[derive(Debug, Clone, clap::Args)]
pub struct SyntheticArgs {
    /// Generate a seeded series of this law instead of reading files.
    #[arg(long, value_enum, conflicts_with = "paths")]
    pub synthetic: Option<Model>,
    /// Seed of the series; the same seed gives the same trades.
    #[arg(long, default_value_t = 1, requires = "synthetic")]
    pub seed: u64,
    /// Symbols of the series.
    #[arg(long, value_delimiter = ',', default_value = "BTCUSDT,ETHUSDT", requires = "synthetic", value_parser = parse_symbol)]
    pub symbols: Vec<String>,
    /// First second of the series, RFC 3339.
    #[arg(long, default_value = "2024-01-01T00:00:00Z", requires = "synthetic", value_parser = parse_start)]
    pub start: jiff::Timestamp,
    /// Length of the series, such as 168h or 90m.
    #[arg(long, default_value = "1h", requires = "synthetic", allow_hyphen_values = true, value_parser = parse_duration)]
    pub duration: jiff::SignedDuration,
    /// Mean trades per second and symbol of the series.
    #[arg(long, default_value_t = 4.0, requires = "synthetic", allow_negative_numbers = true, value_parser = parse_rate)]
    pub rate: f64,
}

/// Records, and how far their reading has come.
pub struct Input {
    /// The records in arrival order.
    pub records: Records,
    /// Whether holes in the ids mean missing trades.
    pub dense_ids: bool,
    /// How far reading has come.
    pub progress: ReadingProgress,
}

/// Bytes read of bytes there are; both zero for a synthetic series.
#[derive(Debug, Clone, Default)]
pub struct ReadingProgress {
    read: Arc<AtomicU64>,
    /// Bytes of all files, compressed as they are.
    pub total: u64,
}

impl ReadingProgress {
    /// Bytes read so far.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// Opens a synthetic series.
///
/// # Errors
/// A length outside one second to about a hundred years, or a symbol that is named twice.
pub fn open_synthetic(args: &SyntheticArgs, model: Model, tick_interval: Option<u32>) -> Result<Input, InputError> {
    let seconds = u32::try_from(args.duration.as_secs())
        .ok()
        .filter(|seconds| *seconds > 0);
    let seconds =
        seconds.ok_or_else(|| InputError::Options("--duration must be a second or more, such as 24h".into()))?;
    let mut named = BTreeSet::new();
    if let Some(twice) = args.symbols.iter().find(|symbol| !named.insert(*symbol)) {
        return Err(InputError::Options(format!(
            "--symbols names {twice} twice; name each symbol once"
        )));
    }
    let synthetic = Synthetic {
        seed: args.seed,
        symbols: args.symbols.iter().map(|symbol| (symbol.clone(), model)).collect(),
        start_us: args.start.as_second() * 1_000_000,
        seconds,
        rate: args.rate,
    };
    let records = with_ticks(synthetic.records(), interval_us(tick_interval));
    Ok(Input {
        records,
        dense_ids: true,
        progress: ReadingProgress::default(),
    })
}

/// Opens files one behind the other. All are checked to open, and their formats told, before the first is read.
///
/// # Errors
/// A file that cannot be opened, or whose format cannot be told.
pub fn open_files(args: &ReadingArgs, paths: &[PathBuf]) -> Result<Input, InputError> {
    let mut progress = ReadingProgress::default();
    let mut dense_ids = true;
    let mut files: Vec<Records> = Vec::new();
    for path in paths {
        let (reader, length) = open(path, Arc::clone(&progress.read))?;
        let (records, format) = read_file(args, &path.display().to_string(), reader)?;
        progress.total += length;
        dense_ids &= format.has_dense_ids();
        files.push(records);
    }
    let records = with_ticks(Box::new(files.into_iter().flatten()), interval_us(args.tick_interval));
    Ok(Input {
        records,
        dense_ids,
        progress,
    })
}

/// Opens a file that is part of the program.
///
/// # Errors
/// Its format cannot be told.
pub fn open_embedded(args: &ReadingArgs, name: &str, bytes: &'static [u8]) -> Result<Input, InputError> {
    let reader = unpacked(bytes).map_err(|source| InputError::io(name, source))?;
    let (records, format) = read_file(args, name, reader)?;
    Ok(Input {
        records: with_ticks(records, interval_us(args.tick_interval)),
        dense_ids: format.has_dense_ids(),
        progress: ReadingProgress::default(),
    })
}

fn read_file(
    args: &ReadingArgs,
    name: &str,
    mut reader: Box<dyn BufRead + Send>,
) -> Result<(Records, Format), InputError> {
    let format = match args.format {
        Some(format) => format,
        None => tell_format(&mut reader, name)?,
    };
    let records = match format {
        Format::Csv => reading::recorded_csv(name, reader, &args.venue),
        Format::CoinbaseCsv => reading::coinbase_csv(name, reader),
        Format::Json => reading::canonical_lines(name, reader),
        Format::Binance => reading::venue_messages(name, reader, Box::new(venues::Binance::default())),
        Format::Coinbase => reading::venue_messages(name, reader, Box::new(venues::Coinbase)),
        Format::Kraken => reading::venue_messages(name, reader, Box::new(venues::Kraken::default())),
    };
    Ok((
        if format.tells_gaps() {
            with_gaps(records)
        } else {
            records
        },
        format,
    ))
}

fn tell_format(reader: &mut Box<dyn BufRead + Send>, path: &str) -> Result<Format, InputError> {
    let start = reader.fill_buf().map_err(|source| InputError::io(path, source))?;
    if start.is_empty() {
        return Err(InputError::Empty(path.to_owned()));
    }
    let starts_with = |columns: &[&str]| start.starts_with(columns.join(",").as_bytes());
    if starts_with(&reading::RECORDED_COLUMNS) {
        Ok(Format::Csv)
    } else if starts_with(&reading::COINBASE_COLUMNS)
        || starts_with(&reading::COINBASE_COLUMNS.map(quoted).each_ref().map(String::as_str))
    {
        Ok(Format::CoinbaseCsv)
    } else if start.starts_with(b"{\"v\":") {
        Ok(Format::Json)
    } else {
        Err(InputError::UnknownFormat { path: path.to_owned() })
    }
}

fn quoted(column: &str) -> String {
    format!("\"{column}\"")
}

/// A file, unpacked if its first bytes are gzip's, that counts what is read of it.
fn open(path: &Path, read: Arc<AtomicU64>) -> Result<(Box<dyn BufRead + Send>, u64), InputError> {
    let failed = |source| InputError::io(&path.display().to_string(), source);
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let reader = BufReader::with_capacity(1 << 16, Counted { file, read });
    Ok((unpacked(reader).map_err(failed)?, length))
}

fn unpacked(mut reader: impl BufRead + Send + 'static) -> std::io::Result<Box<dyn BufRead + Send>> {
    if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader))));
    }
    Ok(Box::new(reader))
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

fn interval_us(seconds: Option<u32>) -> Option<i64> {
    seconds.map(|seconds| i64::from(seconds) * 1_000_000)
}

fn parse_venue(text: &str) -> Result<String, String> {
    let message = "a venue is 1 to 32 bytes of [a-z0-9._-]";
    fields::is_venue(text)
        .then(|| text.to_owned())
        .ok_or_else(|| message.to_owned())
}

fn parse_symbol(text: &str) -> Result<String, String> {
    let message = "a symbol is 1 to 32 bytes of [A-Z0-9._/-]";
    fields::is_symbol(text)
        .then(|| text.to_owned())
        .ok_or_else(|| message.to_owned())
}

fn parse_start(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse()
        .map_err(|_| "give a time as in RFC 3339, such as 2024-01-01T00:00:00Z".to_owned())
}

fn parse_duration(text: &str) -> Result<jiff::SignedDuration, String> {
    text.parse()
        .map_err(|_| "give hours, minutes or seconds, such as 168h or 90m".to_owned())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate <= 500.0);
    rate.ok_or_else(|| "the rate is a number above 0 and at most 500".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::feed::FeedRecord;

    const CSV: &str =
        "symbol,trade_id,ts_us,price,qty,side,recv_ns\nBTCUSDT,1,1000000,5,1,sell,\nBTCUSDT,4,2000000,5,1,buy,\n";

    fn args() -> ReadingArgs {
        ReadingArgs {
            format: None,
            venue: "binance".into(),
            tick_interval: None,
        }
    }

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_gzipped_file_reads_like_the_plain_one_and_counts_its_bytes() {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(CSV.as_bytes()).unwrap();
        let zipped = zipped.finish().unwrap();
        let (_plain_folder, plain) = file("a.csv", CSV.as_bytes());
        let (_zipped_folder, packed) = file("a.csv.gz", &zipped);
        let records = |path: PathBuf| {
            let input = open_files(&args(), &[path]).unwrap();
            let records: Vec<_> = input.records.map(Result::unwrap).collect();
            assert_eq!(input.progress.read.load(Ordering::Relaxed), input.progress.total);
            records
        };
        assert_eq!(records(plain), records(packed));
    }

    #[test]
    fn holes_in_a_csv_are_counted_but_not_told() {
        let (_folder, path) = file("a.csv", CSV.as_bytes());
        let input = open_files(&args(), &[path]).unwrap();
        assert!(input.dense_ids);
        assert!(
            input
                .records
                .map(Result::unwrap)
                .all(|record| matches!(record, FeedRecord::Trade(_)))
        );
    }

    #[test]
    fn a_file_of_no_known_format_asks_for_the_option() {
        let (_folder, path) = file("a.txt", b"[1,2]\n");
        let error = open_files(&args(), &[path]).err().unwrap().to_string();
        assert!(
            error.ends_with("its format cannot be told from the first line; say --format"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_file_is_told_as_that() {
        let (_folder, path) = file("a.csv", b"");
        let error = open_files(&args(), &[path]).err().unwrap().to_string();
        assert!(error.ends_with("a.csv: the file is empty"), "{error}");
    }

    #[test]
    fn a_gzipped_file_that_is_cut_off_is_told_as_that_in_every_format() {
        let random: Vec<u8> = (0u32..20_000)
            .flat_map(|n| format!("{}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(&random).unwrap();
        let zipped = zipped.finish().unwrap();
        let (_folder, path) = file("a.gz", &zipped[..zipped.len() / 2]);
        for format in [Format::Csv, Format::CoinbaseCsv, Format::Json, Format::Kraken] {
            let args = ReadingArgs {
                format: Some(format),
                ..args()
            };
            let input = open_files(&args, std::slice::from_ref(&path)).unwrap();
            // A reader whose bytes have failed says so for ever.
            let mut errors = input
                .records
                .take(50_000)
                .filter_map(Result::err)
                .map(|error| error.to_string());
            let cut = errors.find(|error| error.ends_with("the gzip file is cut off; fetch it again"));
            assert!(cut.is_some(), "{format:?}");
        }
    }

    #[test]
    fn a_missing_file_is_told_before_anything_is_read() {
        let (_folder, path) = file("a.csv", CSV.as_bytes());
        let error = open_files(&args(), &[path, PathBuf::from("/nonexistent.csv")])
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("/nonexistent.csv: "), "{error}");
    }
}

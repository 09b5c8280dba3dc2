//! `assay feed`: recorded files, venue messages or a synthetic series into the source topic, at any speed.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::builder::NonEmptyStringValueParser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::feed::input::{Input, ReadingArgs, ReadingProgress, SyntheticArgs, open_files, open_synthetic};
use crate::feed::kafka_sink::KafkaSink;
use crate::feed::pace::{Pace, Speed};
use crate::feed::quality::Quality;
use crate::feed::route::{Routed, route};
use crate::feed::{FeedError, FeedRecord, InputError};
use crate::ingest::client::Connection;

/// Arguments of `assay feed`.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("input").args(["paths", "synthetic"]).required(true)))]
pub struct FeedArgs {
    /// Files to feed one behind the other, plain or gzipped.
    #[arg(value_name = "FILE")]
    pub paths: Vec<PathBuf>,
    /// How the files are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// A series instead of files.
    #[command(flatten)]
    pub synthetic: SyntheticArgs,
    /// Kafka's bootstrap servers.
    #[arg(long, env = "ASSAY_BROKERS", required_unless_present = "dry_run", value_parser = NonEmptyStringValueParser::new())]
    pub brokers: Option<String>,
    /// Topic; it has to exist.
    #[arg(long, default_value = "raw.trades", value_parser = NonEmptyStringValueParser::new())]
    pub topic: String,
    /// A librdkafka setting, such as `security.protocol=SASL_SSL` or `sasl.mechanism=SCRAM-SHA-512`; may be repeated.
    /// Credentials come from the environment as for `assay run`: `ASSAY_KAFKA_USERNAME`, `ASSAY_KAFKA_PASSWORD`,
    /// `ASSAY_KAFKA_CA_FILE`, `ASSAY_KAFKA_CERTIFICATE_FILE` and `ASSAY_KAFKA_PRIVATE_KEY_FILE`.
    #[arg(short = 'X', value_name = "KEY=VALUE", value_parser = key_value)]
    pub client: Vec<(String, String)>,
    /// Speed of recorded time: real, full, or a factor such as 60.
    #[arg(long, default_value = "full", allow_negative_numbers = true)]
    pub speed: Speed,
    /// Print the canonical records to standard output, one a line, and send nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Feeds until the input ends; gives what was noticed about it.
///
/// # Errors
/// An input that cannot be read, a topic that is not there, or records that were not delivered.
pub fn feed(args: &FeedArgs) -> Result<Quality, FeedError> {
    let input = match args.synthetic.synthetic {
        Some(model) => open_synthetic(&args.synthetic, model, args.reading.tick_interval)?,
        None => open_files(&args.reading, &args.paths)?,
    };
    let mut sink = match (&args.brokers, args.dry_run) {
        (_, true) => Sink::Print(std::io::BufWriter::new(std::io::stdout())),
        (Some(brokers), false) => {
            let login = Connection::login_from_environment()?;
            Sink::Kafka(KafkaSink::connect(brokers, &args.topic, &args.client, &login)?)
        }
        (None, false) => {
            return Err(InputError::Options("--brokers is missing; or print with --dry-run".into()).into());
        }
    };
    let quality = pump(input, &mut Pace::new(args.speed), &mut sink)?;
    sink.finish()?;
    Ok(quality)
}

enum Sink {
    Kafka(KafkaSink),
    Print(std::io::BufWriter<std::io::Stdout>),
}

impl Sink {
    fn partitions(&self) -> i32 {
        match self {
            Self::Kafka(sink) => sink.partitions(),
            // A tick is printed once: reading it back gives one for every partition again.
            Self::Print(_) => 1,
        }
    }

    fn send(&mut self, record: &Routed) -> Result<(), FeedError> {
        match self {
            Self::Kafka(sink) => sink.send(record),
            Self::Print(out) => out
                .write_all(&record.value)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(FeedError::Print),
        }
    }

    fn finish(self) -> Result<(), FeedError> {
        match self {
            Self::Kafka(sink) => sink.finish().map(|_| ()),
            Self::Print(mut out) => out.flush().map_err(FeedError::Print),
        }
    }
}

fn pump(input: Input, pace: &mut Pace, sink: &mut Sink) -> Result<Quality, FeedError> {
    let mut quality = Quality::new(input.dense_ids);
    let bar = progress_bar(&input.progress);
    for record in input.records {
        let record = record?;
        if let FeedRecord::Trade(trade) = &record {
            let wait = pace.wait_for(trade.event_time_us, Instant::now());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
        }
        quality.observe(&record);
        for routed in route(&record, sink.partitions()) {
            sink.send(&routed)?;
        }
        show(&bar, &input.progress, &quality);
    }
    bar.finish_and_clear();
    Ok(quality)
}

/// A bar over the bytes of files, a counter for a series; nothing where standard error is no terminal.
pub(super) fn progress_bar(progress: &ReadingProgress) -> ProgressBar {
    let template = if progress.total > 0 {
        "{bar:30} {percent}% {msg} {elapsed} (left {eta})"
    } else {
        "{spinner} {msg} {elapsed}"
    };
    let bar = if progress.total > 0 {
        ProgressBar::new(progress.total)
    } else {
        ProgressBar::new_spinner()
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Redraws now and then: a bar costs more than a record.
pub(super) fn show(bar: &ProgressBar, progress: &ReadingProgress, quality: &Quality) {
    if quality.trades.is_multiple_of(1024) {
        bar.set_position(progress.read());
        bar.set_message(format!("{} trades", quality.trades));
    }
}

/// What must not stand on a command line, which other users of the machine see.
const CREDENTIALS: [(&str, &str); 5] = [
    ("sasl.username", "ASSAY_KAFKA_USERNAME"),
    ("sasl.password", "ASSAY_KAFKA_PASSWORD"),
    ("ssl.key.pem", "ASSAY_KAFKA_PRIVATE_KEY"),
    ("ssl.key.password", "ASSAY_KAFKA_PRIVATE_KEY, without a passphrase"),
    (
        "ssl.keystore.password",
        "ASSAY_KAFKA_CERTIFICATE and ASSAY_KAFKA_PRIVATE_KEY",
    ),
];

fn key_value(text: &str) -> Result<(String, String), String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("it is not KEY=VALUE".to_owned());
    };
    match CREDENTIALS.iter().find(|(credential, _)| *credential == key) {
        Some((_, variable)) => Err(format!(
            "{key} is a credential; set {variable} in the environment instead"
        )),
        None => Ok((key.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: FeedArgs,
    }

    #[rstest]
    #[case::nothing_to_feed(&["feed", "--brokers", "b"], "<FILE|--synthetic <SYNTHETIC>>")]
    #[case::empty_brokers(&["feed", "a.csv", "--brokers", ""], "a value is required for '--brokers")]
    #[case::empty_topic(&["feed", "a.csv", "--dry-run", "--topic", ""], "a value is required for '--topic")]
    #[case::negative_speed(&["feed", "a.csv", "--dry-run", "--speed", "-2"], "a number above zero such as 60")]
    #[case::negative_ticks(&["feed", "a.csv", "--dry-run", "--tick-interval", "-2"], "is not in 1..")]
    #[case::negative_rate(&["feed", "--dry-run", "--synthetic", "walk", "--rate", "-2"], "a number above 0")]
    #[case::days(&["feed", "--dry-run", "--synthetic", "walk", "--duration", "five"], "such as 168h or 90m")]
    #[case::no_time(&["feed", "--dry-run", "--synthetic", "walk", "--start", "yesterday"], "such as 2024-01-01T00:00:00Z")]
    #[case::nowhere_to_feed_to(&["feed", "a.csv"], "--brokers")]
    #[case::files_and_series(&["feed", "a.csv", "--dry-run", "--synthetic", "walk"], "cannot be used with")]
    #[case::no_speed(&["feed", "a.csv", "--dry-run", "--speed", "fast"], "say real, full, or a number")]
    #[case::no_setting(&["feed", "a.csv", "--dry-run", "-X", "acks"], "is not KEY=VALUE")]
    #[case::no_symbol(&["feed", "--dry-run", "--synthetic", "walk", "--symbols", "btc"], "a symbol is 1 to 32 bytes")]
    fn a_wrong_command_line_names_the_option(#[case] line: &[&str], #[case] message: &str) {
        let error = Cli::try_parse_from(line).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[test]
    fn a_series_is_described_by_options_alone() {
        let line = [
            "feed",
            "--dry-run",
            "--synthetic",
            "reversion",
            "--seed",
            "7",
            "--duration",
            "168h",
        ];
        let args = Cli::try_parse_from(line).unwrap().args;
        assert_eq!(args.synthetic.duration.as_hours(), 168);
        assert!(args.reading.tick_interval.is_none());
    }

    #[rstest]
    #[case::negative(&["--duration", "-5m"], "--duration must be a second or more")]
    #[case::twice(&["--symbols", "A,B,A"], "--symbols names A twice; name each symbol once")]
    fn a_series_that_cannot_be_made_names_the_option(#[case] options: &[&str], #[case] message: &str) {
        let line = ["feed", "--dry-run", "--synthetic", "walk"].iter().chain(options);
        let args = Cli::try_parse_from(line).unwrap().args;
        let error = feed(&args).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }

    #[rstest]
    #[case::unknown("nonsense.key", "1", "-X nonsense.key=1: ")]
    #[case::login("security.protocol", "SASL_SSL", "ASSAY_KAFKA_USERNAME")]
    fn a_refused_setting_is_not_blamed_on_the_brokers(#[case] key: &str, #[case] value: &str, #[case] message: &str) {
        let setting = format!("{key}={value}");
        let line = [
            "feed",
            "--synthetic",
            "walk",
            "--brokers",
            "127.0.0.1:1",
            "-X",
            &setting,
        ];
        let args = Cli::try_parse_from(line).unwrap().args;
        let error = feed(&args).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains("--brokers"), "{error}");
    }
}

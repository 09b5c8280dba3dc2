//! The `assay` binary: wiring only.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use assay_processor::args::{Cli, Command};
use assay_processor::commands::{backtest, demo, feed, migrate, run};
use assay_processor::demo::DemoError;
use assay_processor::feed::FeedError;
use assay_processor::memory;
use assay_processor::telemetry::logs;

/// For Rust and C alike (feature `override`): librdkafka allocates on one thread and frees on another, which halves
/// the throughput of glibc's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::of_this_process();
    let level = match cli.command {
        // It prints what there is to see itself.
        Command::Demo(_) => "error",
        _ => "info,sqlx=warn",
    };
    if let Err(error) = logs::start(level) {
        return fail(&error, 2);
    }
    if let Err(error) = memory::refuse_huge_pages() {
        tracing::warn!(%error, "huge pages stay allowed; memory will be larger");
    }
    #[cfg(feature = "failpoints")]
    if let Err(error) = assay_processor::crash_points::arm_from_environment() {
        return fail(&error, 2);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // One for each partition of an assignment, which all ask for their log's bounds at once, would be too many.
        .max_blocking_threads(16)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 71),
    };
    runtime.block_on(execute(cli.command))
}

async fn execute(command: Command) -> ExitCode {
    match command {
        Command::Run(args) => match run::command(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Migrate(args) => match migrate::migrate(&args).await {
            Ok(text) => print(&text),
            Err(error) => fail(&error, error.exit_code()),
        },
        Command::Backtest(args) => match backtest::backtest(&args).await {
            Ok(summary) => print(&summary.to_string()),
            Err(error) => fail(&error, 1),
        },
        Command::Demo(args) => match demo::demo(&args).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(DemoError::Screen(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
        Command::Feed(args) => {
            // Reads files, sleeps and waits for the client: nothing for the runtime's own threads.
            match tokio::task::block_in_place(|| feed::feed(&args)) {
                Ok(noticed) => report(&noticed),
                // Whoever reads has seen enough.
                Err(FeedError::Print(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
                Err(error) => fail(&error, 1),
            }
        }
    }
}

/// For people, beside what goes to standard output.
fn report(text: &dyn std::fmt::Display) -> ExitCode {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::SUCCESS
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(&format!("standard output: {error}"), 1),
    }
}

/// The last word goes to standard error as plain text, for people; the log before it is for machines.
fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // Without standard error there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(code)
}

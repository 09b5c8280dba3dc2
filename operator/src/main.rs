//! The `assay-operator` binary: wiring only.

use std::io::{ErrorKind, Write as _};

use anyhow::Context as _;
use assay_operator::args::{Cli, Command};
use assay_operator::commands::revision::{Wish, wish};
use assay_operator::commands::{connect, explain, plan, run, told, uninstall};
use assay_operator::logging::LogLevel;
use clap::Parser as _;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let cli = Cli::parse();
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    let result = match LogLevel::start() {
        Ok(level) => Box::pin(execute(cli.command, level)).await,
        Err(error) => Err(anyhow::anyhow!("ASSAY_LOG: {error}")),
    };
    let result = result.and_then(|text| print(&text));
    if let Err(error) = &result {
        // Without standard error there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", told(error));
    }
    // Returning would wait for calls to brokers that do not answer; whoever lost the lease has to be gone at once.
    std::process::exit(i32::from(result.is_err()));
}

fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("standard output"),
    }
}

async fn execute(command: Command, level: LogLevel) -> anyhow::Result<String> {
    match command {
        Command::Run(args) => run::run(args, level).await.map(|()| String::new()),
        Command::Crds => assay_crds::schema::crd_yaml().map_err(|error| anyhow::anyhow!("{error}")),
        Command::Plan(args) => match args.file {
            Some(path) => Box::pin(plan::file(&path)).await,
            None => plan::all().await,
        },
        Command::Explain(args) => explain::explain(&args).await,
        Command::Promote(args) => wish(Wish::Promote, &args).await,
        Command::Reject(args) => wish(Wish::Reject, &args).await,
        Command::Rollback(args) => wish(Wish::Rollback, &args).await,
        Command::Uninstall(args) => {
            uninstall::uninstall(&connect().await?, &args).await?;
            Ok(String::new())
        }
    }
}

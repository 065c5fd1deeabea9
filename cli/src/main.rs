//! The `inopsio` binary, for developers, operators and auditors.
//!
//! Each command is a file or folder of its name with its arguments, its help with examples, and `run`. It is listed in [`Command`] and in
//! [`Cli::run`]. Commands that use the configured servers take a [`Context`]; `dev` starts servers of its own. Results go to standard output
//! (`--format json` for programs), everything else to standard error.

#![warn(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic if nobody reads; use output::print and output::tell"
)]

mod archive;
mod audit;
mod backup;
mod bench;
mod context;
mod demo;
mod dev;
mod dlq;
mod events;
mod failure;
mod help;
mod job;
mod key;
mod lists;
mod migrate;
mod number;
mod output;
mod progress;
mod projection;
mod replay;
mod saga;
mod schema;
mod schemas;
mod seed;
mod selection;
mod serve;
mod settings;
mod show;
mod signals;
mod sink;
mod tenant;
mod time;
mod token;
mod webhook;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use context::{Context, Place};
use output::Format;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inopsio: a multi-tenant, event-sourced back end
#[derive(Parser)]
#[command(name = "inopsio", version, max_term_width = 120)]
struct Cli {
    /// Configuration file; ./inopsio.toml or the one of `inopsio dev` unless given
    #[arg(long, global = true, env = "INOPSIO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the development environment
    #[arg(long, global = true, env = "INOPSIO_HOME", value_name = "FOLDER", default_value = ".inopsio")]
    home: PathBuf,
    /// Output format of results
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Migrate(migrate::Migrate),
    Seed(seed::Seed),
    Token(token::Token),
    #[command(subcommand)]
    Tenant(tenant::Command),
    Replay(replay::Replay),
    #[command(subcommand)]
    Audit(audit::Command),
    Show(show::Show),
    #[command(subcommand)]
    Projection(projection::Command),
    #[command(subcommand)]
    Key(key::Command),
    #[command(subcommand)]
    Saga(saga::Command),
    #[command(subcommand)]
    Job(job::Command),
    #[command(subcommand)]
    Dlq(dlq::Command),
    #[command(subcommand)]
    Events(events::Command),
    #[command(subcommand)]
    Schema(schema::Command),
    Webhook(webhook::Webhook),
    Archive(archive::Archive),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Schemas(schemas::Schemas),
    Settings(settings::Settings),
    Demo(demo::Demo),
    Bench(bench::Bench),
}

impl Cli {
    async fn run(self) -> Result<()> {
        let place = Place { file: self.config, home: self.home };
        let context = |flags| Context::load(&place, flags, self.format);
        // `dev` and `serve` write these warnings to their log.
        if !matches!(self.command, Command::Dev(_) | Command::Serve(_)) {
            for unknown in settings::unknown() {
                output::tell(format!("inopsio: {unknown}"));
            }
        }
        match self.command {
            Command::Dev(dev) => Box::pin(dev.run(&place.home)).await,
            Command::Serve(serve) => {
                let context = context(serve.flags())?;
                serve.run(context).await
            }
            Command::Migrate(migrate) => migrate.run(&place, self.format).await,
            Command::Seed(seed) => seed.run(&place, self.format).await,
            Command::Token(token) => token.run(&context(Vec::new())?).await,
            Command::Tenant(tenant) => tenant.run(&context(Vec::new())?).await,
            Command::Replay(replay) => replay.run(&context(Vec::new())?).await,
            Command::Audit(audit) => audit.run(&place, self.format).await,
            Command::Show(show) => show.run(&context(Vec::new())?).await,
            Command::Projection(projection) => projection.run(&context(Vec::new())?).await,
            Command::Key(key) => key.run(&context(Vec::new())?).await,
            Command::Saga(saga) => saga.run(&context(Vec::new())?).await,
            Command::Job(job) => Box::pin(job.run(&context(Vec::new())?)).await,
            Command::Dlq(dlq) => dlq.run(&context(Vec::new())?).await,
            Command::Events(events) => events.run(&context(Vec::new())?).await,
            Command::Schema(schema) => schema.run(&context(Vec::new())?).await,
            Command::Webhook(webhook) => webhook.run(&context(Vec::new())?).await,
            Command::Archive(archive) => archive.run(&context(Vec::new())?).await,
            Command::Backup(backup) => backup.run(&place, self.format).await,
            Command::Restore(restore) => restore.run(&context(Vec::new())?).await,
            Command::Schemas(schemas) => schemas.run(),
            Command::Settings(settings) => settings.run(self.format),
            Command::Demo(demo) => demo.run(&place, self.format).await,
            Command::Bench(bench) => bench.run(),
        }
    }
}

/// How long to wait for background tasks when a command has ended.
const LAST: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    run_to_end(run(), LAST).unwrap_or_else(|error| {
        output::tell(format!("inopsio: can't start: {error}"));
        ExitCode::FAILURE
    })
}

/// Runs `work` on a new runtime, then waits at most `last` for remaining tasks. Without the limit, a task that never yields would keep the
/// process alive for ever.
fn run_to_end<T>(work: impl Future<Output = T>, last: Duration) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(last);
    Ok(done)
}

async fn run() -> ExitCode {
    // Boxed, because the future of each command would otherwise be as large as the largest one's.
    let command = help::formatted(Cli::command());
    let asked = command.clone().get_matches();
    let cli = Cli::from_arg_matches(&asked).unwrap_or_else(|error| error.exit());
    match Box::pin(cli.run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_unread(&error) => ExitCode::FAILURE,
        Err(error) => {
            output::tell(format!("inopsio: {}", failure::reasons(&error)));
            if let Some(advice) = failure::advice(&error) {
                output::tell(format!("  {advice}"));
            }
            let refusal = error.chain().find_map(|cause| cause.downcast_ref::<kernel::Refusal>());
            for field in refusal.iter().flat_map(|refusal| refusal.errors()) {
                let argument = help::argument_name(&command, &asked, &field.pointer);
                output::tell(format!("  {argument}: {} ({})", field.detail, field.code));
            }
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_task_that_never_yields_keeps_no_process_that_was_asked_to_stop() {
        let (begun, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, heard) = mpsc::channel();
        let (begins, ends) = (begun.clone(), over.clone());
        std::thread::spawn(move || {
            let work = async move {
                tokio::spawn(async move {
                    begins.store(true, Ordering::SeqCst);
                    while !ends.load(Ordering::SeqCst) {
                        std::hint::spin_loop();
                    }
                });
                while !begun.load(Ordering::SeqCst) {
                    tokio::task::yield_now().await;
                }
            };
            told.send(run_to_end(work, Duration::from_millis(50)).is_ok())
        });
        let ended = heard.recv_timeout(Duration::from_secs(30));
        over.store(true, Ordering::SeqCst);
        assert_eq!(ended, Ok(true));
    }
}

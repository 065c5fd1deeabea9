//! Runs the parts of the benchmark in order, and reports the results.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::infrastructure::Infrastructure;
use crate::report::{Results, show};
use crate::target::{self, Inopsio, Name};
use crate::{
    bulk, commands, fairness, goals, growth, jobs, lag, logins, machine, memory, raw, recovery, sagas, tenants,
};

/// What to measure, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A short run that shows that everything works; its figures mean little
    #[arg(long)]
    pub quick: bool,
    /// Where the results go
    #[arg(long, default_value = "bench/results/latest.json")]
    pub out: PathBuf,
    /// Rounds of each measurement
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub rounds: u8,
    /// Only these parts; the results have only their figures
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Part>,
    /// Only these servers; ratios to the others are then missing
    #[arg(long, value_enum, value_delimiter = ',')]
    pub servers: Vec<Name>,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub clients: Vec<usize>,
    /// The program that does jobs as apalis does; the one that bench/apalis builds unless given
    #[arg(long, value_name = "PROGRAM")]
    pub apalis: Option<PathBuf>,
    /// How long the log is in the end, for the part `growth`
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(100_000..=100_000_000))]
    pub growth_events: u64,
    /// The `inopsio` to measure; the one beside this program unless given
    #[arg(long, value_name = "PROGRAM")]
    pub inopsio: Option<PathBuf>,
}

/// A part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The raw limits
    Raw,
    /// Commands per second
    Commands,
    /// From the command to the visible row
    Lag,
    /// From the command to the visible row, while another tenant imports
    Fairness,
    /// Commands of a thousand tenants
    Tenants,
    /// Commands while people sign in
    Logins,
    /// Steps of sagas per second
    Sagas,
    /// Filling, catching up, rebuilding, replaying
    Bulk,
    /// After a kill of the program, of Postgres, of nats-server
    Recovery,
    /// Jobs per second, beside apalis
    Jobs,
    /// What an append costs behind a long log; only when it is named: it takes minutes and gigabytes
    Growth,
}

/// Number of tenants that share the load.
const TENANTS: usize = 10;

/// Measures everything, prints it and writes it to a file.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let infrastructure = Infrastructure::start().await?;
    let mut results = Results::default();
    machine::describe(&infrastructure, &mut results).await?;
    let inopsio = Inopsio::new(options.inopsio.as_deref(), &infrastructure, "bench_ours")?;
    inopsio.run(&["migrate"]).await?;
    let credentials = inopsio.credentials("bench", TENANTS).await?;
    let (ours, ready) = inopsio.serve(&infrastructure, &credentials).await?;
    results.number("ready_s", ready.as_secs_f64());
    results.number("rss_mib.idle", memory::resident_mib(ours.pid())?);
    let mut targets = vec![
        target::peer(&infrastructure, &credentials).await?,
        target::prototype(&infrastructure, &credentials).await?,
        ours,
    ];
    targets.retain(|target| options.servers.is_empty() || options.servers.contains(&target.name));

    if options.wants(Part::Raw) {
        raw::part(options, &infrastructure, &mut results).await?;
    }
    if options.wants(Part::Commands) {
        commands::part(options, &infrastructure, &targets, &mut results).await?;
    }
    if options.wants(Part::Lag) {
        lag::part(options, &targets, &mut results).await?;
    }
    if options.wants(Part::Fairness) {
        fairness::part(options, &targets, &mut results).await?;
    }
    if options.wants(Part::Tenants) {
        tenants::part(options, &infrastructure, &inopsio, &targets, &mut results).await?;
    }
    if options.wants(Part::Logins) {
        logins::part(options, &infrastructure, &targets, &mut results).await?;
    }
    drop(targets);
    if options.wants(Part::Jobs) {
        jobs::part(options, &infrastructure, &mut results).await?;
    }
    if options.wants(Part::Sagas) {
        sagas::part(options, &infrastructure, &mut results).await?;
    }
    if options.wants(Part::Bulk) {
        bulk::part(options, &inopsio, &infrastructure, &mut results).await?;
    }
    if options.wants(Part::Recovery) {
        recovery::part(options, &mut results).await?;
    }
    if options.only.contains(&Part::Growth) {
        growth::part(options, &inopsio, &infrastructure, &mut results).await?;
    }

    if !options.quick {
        println!("{}", goals::compare(&results));
    }
    results.number("took_s", started.elapsed().as_secs_f64());
    results.write(&options.out)?;
    println!("\n{} in {} s", options.out.display(), show(started.elapsed().as_secs_f64()));
    Ok(())
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// A duration in seconds; in a quick run at most half a second.
    pub fn seconds(&self, full: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { full.min(0.5) } else { full })
    }

    /// Number of rounds of each measurement.
    pub fn rounds(&self) -> usize {
        if self.quick { 1 } else { usize::from(self.rounds) }
    }
}

//! The order of a run, and what it says at the end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::{self, Measurements, Plan, median};
use crate::ground::Ground;
use crate::lag::{self, Lag};
use crate::raw;
use crate::report::{Results, show, table};
use crate::target::{self, Name, Target};

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
}

/// Tenants, or clients with a token of their own, that share the load.
const TOKENS: usize = 10;

/// Measures everything, prints it, writes it.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let ground = Ground::start().await?;
    let mut results = Results::default();
    let targets = [target::peer(&ground, TOKENS).await?, target::prototype(&ground, TOKENS).await?];

    measure_raw(options, &ground, &mut results).await?;
    measure_commands(options, &targets, &mut results).await?;
    measure_lag(options, &targets, &mut results).await?;

    results.number("took_s", started.elapsed().as_secs_f64());
    results.write(&options.out)?;
    println!("\n{} in {} s", options.out.display(), show(started.elapsed().as_secs_f64()));
    Ok(())
}

impl Options {
    fn seconds(&self, full: f64) -> Duration {
        Duration::from_secs_f64(if self.quick { full.min(0.5) } else { full })
    }

    fn rounds(&self) -> usize {
        if self.quick { 1 } else { usize::from(self.rounds) }
    }
}

async fn measure_raw(options: &Options, ground: &Ground, results: &mut Results) -> anyhow::Result<()> {
    let database = ground.create_database("bench_raw").await?;
    let mut rounds = Vec::new();
    for _ in 0..options.rounds() {
        rounds.push(raw::round(&database, &ground.nats_url(), options.seconds(1.5)).await?);
    }
    let middle = |of: fn(&raw::Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
    let figures = [
        ("raw.insert_1", "single-row inserts, 1 connection", middle(|round| round.insert_1)),
        ("raw.insert_64", "single-row inserts, 64 connections", middle(|round| round.insert_64)),
        ("raw.insert_batched", "rows in batches of 100, 1 connection", middle(|round| round.insert_batched)),
        ("raw.publish_1", "JetStream publishes, one at a time", middle(|round| round.publish_1)),
        ("raw.publish_pipelined", "JetStream publishes, 256 under way", middle(|round| round.publish_pipelined)),
    ];
    for (name, _, figure) in figures {
        results.number(name, figure);
    }
    println!(
        "{}",
        table(&["raw limits", "per second"], figures.map(|(_, what, figure)| vec![what.to_owned(), show(figure)]))
    );
    Ok(())
}

async fn measure_commands(options: &Options, targets: &[Target], results: &mut Results) -> anyhow::Result<()> {
    let plan = Plan {
        clients: vec![1, 16, 64, 256],
        rounds: options.rounds(),
        warm_up: options.seconds(0.5),
        measure: options.seconds(3.5),
    };
    let bar = ProgressBar::new((plan.clients.len() * plan.rounds * targets.len()) as u64)
        .with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}")?);
    let mut measurements = commands::measure(&plan, targets, &bar).await?;
    bar.finish_and_clear();
    let rows = command_rows(&plan, &mut measurements, results);
    println!("{}", table(&["clients", "server", "commands/s", "p50 ms", "p99 ms", "times the peer", "peak MiB"], rows));
    Ok(())
}

fn command_rows(plan: &Plan, measurements: &mut Measurements, results: &mut Results) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for clients in &plan.clients {
        let peer = measurements.get(&(*clients, Name::Peer)).cloned().unwrap_or_default();
        for name in [Name::Peer, Name::Prototype, Name::Ours] {
            let Some(measured) = measurements.get_mut(&(*clients, name)) else { continue };
            let ratio = measured.ratio_to(&peer);
            let (p50, p99) = (measured.latencies.percentile_ms(0.50), measured.latencies.percentile_ms(0.99));
            results.number(&format!("{name}.commands_{clients}"), measured.rate());
            results.number(&format!("{name}.p50_ms_{clients}"), p50);
            results.number(&format!("{name}.p99_ms_{clients}"), p99);
            match name {
                Name::Ours => results.number(&format!("ratio.commands_{clients}"), ratio),
                Name::Prototype => results.number(&format!("ratio.prototype_{clients}"), ratio),
                Name::Peer => {}
            }
            rows.push(vec![
                clients.to_string(),
                name.to_string(),
                show(measured.rate()),
                show(p50),
                show(p99),
                show(ratio),
                show(measured.peak_rss_mib),
            ]);
        }
    }
    rows
}

async fn measure_lag(options: &Options, targets: &[Target], results: &mut Results) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (name, rate, key) in
        [(Name::Peer, 500, "peer.lag_ms"), (Name::Ours, 500, "lag_ms_500"), (Name::Ours, 1000, "lag_ms")]
    {
        let Some(target) = targets.iter().find(|target| target.name == name) else { continue };
        let Lag { mut load, mut visible } = lag::measure(target, rate, options.seconds(10.0)).await?;
        let (p50, p99) = (visible.percentile_ms(0.50), visible.percentile_ms(0.99));
        results.number(&format!("{key}.p50"), p50);
        results.number(&format!("{key}.p99"), p99);
        rows.push(vec![
            format!("{name} at {rate}/s"),
            show(load.rate()),
            show(load.latencies.percentile_ms(0.50)),
            show(load.latencies.percentile_ms(0.99)),
            show(p50),
            show(p99),
        ]);
    }
    println!(
        "{}",
        table(&["command to visible row", "reached/s", "answer p50 ms", "p99 ms", "visible p50 ms", "p99 ms"], rows)
    );
    Ok(())
}

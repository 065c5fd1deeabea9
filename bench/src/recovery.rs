//! Recovery times: `inopsio serve` killed and restarted, Postgres killed and restarted, and nats-server down for a minute. Clients keep
//! sending commands meanwhile. It uses an infrastructure of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use sqlx::{ConnectOptions, Connection as _};
use tokio_util::sync::CancellationToken;

use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::load;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{self, Inopsio, Target};

/// Number of clients during a failure.
const CLIENTS: usize = 16;

/// Commands per second while nats-server is down.
const RATE: u32 = 1_000;

/// Maximum time until Postgres accepts connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures all figures and prints them.
pub async fn part(options: &Options, results: &mut Results) -> anyhow::Result<()> {
    let mut infrastructure = Infrastructure::start().await?;
    let inopsio = Inopsio::new(options.inopsio.as_deref(), &infrastructure, "bench_recovery")?;
    inopsio.run(&["migrate"]).await?;
    let credentials = inopsio.credentials("recovery", 4).await?;
    let addr = target::free_address()?;
    let (mut ours, _) = inopsio.serve_at(addr, &infrastructure, &credentials).await?;
    let (mut serving, mut commands) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds() {
        let load = Load::begin(&ours);
        ours.kill().await?;
        let killed = Instant::now();
        (ours, _) = inopsio.serve_at(addr, &infrastructure, &credentials).await?;
        serving.push(load.first_after(killed).await?);
        commands.push(postgres(&mut infrastructure, &ours).await?);
        ours.settle().await?;
    }
    let away = away(options, &mut infrastructure, &ours).await?;

    let (serving, commands) = (median(&serving), median(&commands));
    results.number("recovery.serving_s", serving);
    results.number("recovery.postgres_s", commands);
    results.number("recovery.nats.refused", away.refused as f64);
    results.number("recovery.nats.p99_ms", away.p99_ms);
    results.number("recovery.nats.backlog", away.backlog as f64);
    results.number("recovery.nats.kept_up", away.kept_up);
    let rows = [
        ("inopsio serve killed: to the first command, s", serving),
        ("Postgres killed: from when it accepts to the first command, s", commands),
        ("nats-server away: commands that were refused", away.refused as f64),
        ("time to the answer meanwhile, p99 ms", away.p99_ms),
        ("events that read models had not seen in the end", away.backlog as f64),
        ("share of the events that they had seen by then", away.kept_up),
    ];
    println!("{}", table(&["recovery", ""], rows.map(|(what, figure)| vec![what.to_owned(), show(figure)])));
    Ok(())
}

/// Clients that send commands in the background and record when they are answered.
struct Load {
    stop: CancellationToken,
    answered: tokio::task::JoinHandle<anyhow::Result<Vec<Instant>>>,
}

impl Load {
    fn begin(target: &Target) -> Self {
        let stop = CancellationToken::new();
        let answered = tokio::spawn(load::retrying(target.aim.clone(), CLIENTS, stop.clone()));
        Self { stop, answered }
    }

    /// Stops the clients after a second. Returns the seconds from `moment` until the first command was carried out.
    async fn first_after(self, moment: Instant) -> anyhow::Result<f64> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.stop.cancel();
        let answered = self.answered.await??;
        let first =
            answered.into_iter().find(|answered| *answered > moment).context("no command was carried out any more")?;
        Ok((first - moment).as_secs_f64())
    }
}

/// Kills and restarts Postgres. Returns the seconds from when it accepts connections until the first command is carried out.
async fn postgres(infrastructure: &mut Infrastructure, target: &Target) -> anyhow::Result<f64> {
    let load = Load::begin(target);
    tokio::time::sleep(Duration::from_millis(300)).await;
    infrastructure.kill_postgres();
    let admin = infrastructure.admin();
    let accepts = tokio::spawn(async move {
        let begun = Instant::now();
        loop {
            if let Ok(connection) = admin.connect().await {
                let accepted = Instant::now();
                connection.close().await?;
                return Ok(accepted);
            }
            ensure!(begun.elapsed() < PATIENCE, "Postgres does not accept anybody after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    infrastructure.restart_postgres();
    load.first_after(accepts.await??).await
}

/// The figures for an outage of nats-server.
struct Away {
    refused: u64,
    p99_ms: f64,
    backlog: u64,
    kept_up: f64,
}

async fn away(options: &Options, infrastructure: &mut Infrastructure, target: &Target) -> anyhow::Result<Away> {
    infrastructure.kill_nats();
    let mut load = load::open(target.aim.clone(), CLIENTS, RATE, options.seconds(60.0)).await?;
    // Read models have read the log directly meanwhile, so the backlog is small.
    let backlog = target.behind().await?;
    infrastructure.restart_nats().await;
    target.settle().await?;
    let kept_up = 1.0 - backlog as f64 / load.done.max(1) as f64;
    Ok(Away { refused: load.failed, p99_ms: load.latencies.percentile_ms(0.99), backlog, kept_up })
}

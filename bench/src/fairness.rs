//! How much an import slows down another tenant: the lag from command to visible row, without an import and during one.

use std::cell::Cell;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::lag;
use crate::load::{Connection, Latencies};
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Name, Target};

/// Rows per file. The files are imported one after the other by the same tenant.
const FILE: u64 = 50_000;

/// The measured figures.
#[derive(Clone, Debug)]
pub struct Fairness {
    /// Time from sending a command to seeing its row on an idle system.
    pub quiet: Latencies,
    /// The same while another tenant imports.
    pub importing: Latencies,
    /// Imported rows per second.
    pub rows_per_s: f64,
}

/// Measures the figures and prints them.
pub async fn part(options: &Options, targets: &[Target], results: &mut Results) -> anyhow::Result<()> {
    let Some(target) = targets.iter().find(|target| target.name == Name::Ours) else { return Ok(()) };
    let rows = if options.quick { 5_000 } else { 1_000_000 };
    let Fairness { mut quiet, mut importing, rows_per_s } = measure(target, rows, options.seconds(10.0)).await?;
    let mut shown = Vec::new();
    for (key, what, latencies) in [("quiet", "quiet", &mut quiet), ("importing", "beside an import", &mut importing)] {
        let (p50, p99) = (latencies.percentile_ms(0.50), latencies.percentile_ms(0.99));
        results.number(&format!("fairness.{key}.p50"), p50);
        results.number(&format!("fairness.{key}.p99"), p99);
        shown.push(vec![what.to_owned(), latencies.count().to_string(), show(p50), show(p99)]);
    }
    results.number("fairness.ratio", importing.percentile_ms(0.99) / quiet.percentile_ms(0.99));
    results.number("fairness.rows_per_s", rows_per_s);
    println!("{}", table(&["a tenant's command to visible row", "probes", "visible p50 ms", "p99 ms"], shown));
    println!("{} rows were imported by another tenant, {} a second", show(rows as f64), show(rows_per_s));
    Ok(())
}

/// Measures for the duration `quiet` without an import, then until another tenant has imported `rows` rows.
pub async fn measure(target: &Target, rows: u64, quiet: Duration) -> anyhow::Result<Fairness> {
    let start = Instant::now();
    let quiet = lag::probe(target.name, &target.aim, || start.elapsed() < quiet).await?;
    let importing = Cell::new(true);
    let import = async {
        let started = Instant::now();
        let mut left = rows;
        while left > 0 {
            let file = left.min(FILE);
            import(target, left, file).await?;
            left -= file;
        }
        importing.set(false);
        Ok::<_, anyhow::Error>(rows as f64 / started.elapsed().as_secs_f64())
    };
    let (beside, rows_per_s) = tokio::try_join!(lag::probe(target.name, &target.aim, || importing.get()), import)?;
    target.settle().await?;
    Ok(Fairness { quiet, importing: beside, rows_per_s })
}

/// Imports one file for a tenant other than the probe's. The text is built on another thread, so that the probe does not wait.
async fn import(target: &Target, number: u64, rows: u64) -> anyhow::Result<()> {
    let (token, run) = (target.aim.tokens[1].clone(), target.aim.run.clone());
    let request = tokio::task::spawn_blocking(move || {
        let mut csv = "name,company,email\n".to_owned();
        for row in 0..rows {
            let _ = writeln!(csv, "Ada Byron {row},Engines {row} Ltd,ada.{number}.{row}@example.com");
        }
        format!(
            "POST /v1/crm/leads/import HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             idempotency-key: {run}-import-{number}\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n{csv}",
            csv.len()
        )
    })
    .await?;
    let mut connection = Connection::open(target.aim.addr).await?;
    let answer = connection.send(request.as_bytes()).await?;
    ensure!(answer.status == 200, "the import: {} {}", answer.status, String::from_utf8_lossy(answer.body));
    Ok(())
}

//! Jobs per second: ours compared with apalis on Postgres, as its guide shows it. The jobs do nothing.
//!
//! Ours belong to ten tenants in turn, with row level security and leases, and each attempt writes a line to the job's log. Apalis runs in
//! its own process (`bench/apalis`, a separate workspace); without that program only ours are measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use eventstore::admin::Mode;
use futures::future::try_join_all;
use jobs::{Jobs, Kind, Kinds, NewJob, Request, Runner, Settings, Sources};
use kernel::{Caller, IdSource, Service, SystemClock, SystemIds, TenantId};
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::report::{Results, show, table};
use crate::run::Options;

/// Number of concurrent jobs.
const CONCURRENCY: usize = 16;
/// Number of tenants.
const TENANTS: usize = 10;

/// The measured rates.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Rates {
    /// Jobs submitted per second.
    pub asked_per_s: f64,
    /// Jobs completed per second.
    pub done_per_s: f64,
}

/// The rates of both in one round.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Ours.
    pub ours: Rates,
    /// Apalis's; none if its program was not built.
    pub apalis: Option<Rates>,
}

/// Measures both in rounds and prints the rates.
pub async fn part(options: &Options, infrastructure: &Infrastructure, results: &mut Results) -> anyhow::Result<()> {
    let apalis = options.apalis.clone().or_else(built);
    let count = if options.quick { 200 } else { 5_000 };
    let mut rounds = Vec::new();
    for nth in 0..options.rounds() {
        rounds.push(round(infrastructure, apalis.as_deref(), count, nth).await?);
    }
    let middle = |of: &dyn Fn(&Measured) -> Option<f64>| {
        let figures: Vec<_> = rounds.iter().filter_map(of).collect();
        (!figures.is_empty()).then(|| median(&figures))
    };
    let figures = [
        ("jobs.done_per_s", "jobs done", middle(&|round| Some(round.ours.done_per_s))),
        ("jobs.apalis_done_per_s", "apalis: jobs done", middle(&|round| Some(round.apalis?.done_per_s))),
        ("jobs.ratio", "times apalis", middle(&|round| Some(round.ours.done_per_s / round.apalis?.done_per_s))),
        (
            "jobs.asked_per_s",
            "jobs asked for, each in a transaction of its own",
            middle(&|round| Some(round.ours.asked_per_s)),
        ),
        (
            "jobs.apalis_asked_per_s",
            "apalis: jobs pushed as a stream",
            middle(&|round| Some(round.apalis?.asked_per_s)),
        ),
    ];
    for (name, _, figure) in figures {
        if let Some(figure) = figure {
            results.number(name, figure);
        }
    }
    let rows =
        figures.map(|(_, what, figure)| vec![what.to_owned(), figure.map_or_else(|| "not measured".to_owned(), show)]);
    println!("{}", table(&["jobs", "per second"], rows));
    Ok(())
}

/// Runs one round with `count` jobs.
pub async fn round(
    infrastructure: &Infrastructure,
    apalis: Option<&Path>,
    count: usize,
    nth: usize,
) -> anyhow::Result<Measured> {
    // Alternate which one is first, because the first has other cache conditions.
    if nth.is_multiple_of(2) {
        let ours = ours(infrastructure, count, nth).await?;
        Ok(Measured { ours, apalis: theirs(infrastructure, apalis, count, nth).await? })
    } else {
        let apalis = theirs(infrastructure, apalis, count, nth).await?;
        Ok(Measured { ours: ours(infrastructure, count, nth).await?, apalis })
    }
}

/// The program of `bench/apalis`, if it was built there.
fn built() -> Option<PathBuf> {
    let built = Path::new("bench/apalis/target/release/apalis-peer");
    built.is_file().then(|| built.to_owned())
}

async fn theirs(
    infrastructure: &Infrastructure,
    program: Option<&Path>,
    count: usize,
    nth: usize,
) -> anyhow::Result<Option<Rates>> {
    let Some(program) = program else { return Ok(None) };
    let database = infrastructure.create_database(&format!("bench_apalis_{nth}")).await?;
    let output = tokio::process::Command::new(program)
        .args(["--postgres", &database, "--jobs", &count.to_string(), "--concurrency", &CONCURRENCY.to_string()])
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{} can't be started", program.display()))?;
    if !output.status.success() {
        anyhow::bail!("{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(Some(serde_json::from_slice(&output.stdout)?))
}

#[expect(clippy::disallowed_methods, reason = "the benchmark's own tenants")]
async fn ours(infrastructure: &Infrastructure, count: usize, nth: usize) -> anyhow::Result<Rates> {
    let database = infrastructure.database(Service::new("bench"), &format!("bench_jobs_{nth}"));
    eventstore::admin::migrate(&infrastructure.admin(), &database, Mode::Apply).await?;
    jobs::migrate(&infrastructure.admin(), &database, Mode::Apply).await?;
    let bus =
        nats::Bus::connect(&nats::Settings::new(infrastructure.nats_url(), nats::Credentials::None, "bench")).await?;
    let nothing = Kind::new("nothing", |_| async { Ok(json!(null)) });
    let kinds = Kinds::new("bench:job:read", "bench:job:write", vec![nothing]);
    let sources = Sources { clock: Arc::new(SystemClock), ids: Arc::new(SystemIds) };
    let settings = Settings { concurrency: CONCURRENCY, per_tenant: 4, ..Settings::default() };
    let jobs = Jobs::open(&database, Some(bus), kinds, settings, sources);
    let tenants: Vec<TenantId> = (0..TENANTS).map(|_| TenantId::vouched(SystemIds.next())).collect();

    let begun = Instant::now();
    let askers = (0..CONCURRENCY).map(|asker| {
        let (jobs, tenants) = (jobs.clone(), tenants.clone());
        async move {
            for number in (asker..count).step_by(CONCURRENCY) {
                let caller = Caller::new(tenants[number % TENANTS], "bench", &[], &[]);
                let request = Request { caller, command_id: None, request_hash: [0; 32] };
                let job = NewJob { arguments: json!(number), actor: "bench".to_owned(), run_at: None, unique: None };
                jobs.submit(&request, "nothing", &job).await.map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(askers).await?;
    let asked = begun.elapsed();

    let pool = infrastructure.pool(&database.name);
    let stop = CancellationToken::new();
    let begun = Instant::now();
    let running = tokio::spawn(Runner::new(jobs).run(stop.clone()));
    let took = loop {
        let open: i64 =
            sqlx::query_scalar("SELECT count(*) FROM jobs.jobs WHERE state <> 'completed'").fetch_one(&pool).await?;
        if open == 0 {
            break begun.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    stop.cancel();
    running.await?;
    let per_second = |took: Duration| count as f64 / took.as_secs_f64();
    Ok(Rates { asked_per_s: per_second(asked), done_per_s: per_second(took) })
}

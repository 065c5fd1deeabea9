//! The order of a run, and what it says at the end.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::bulk;
use crate::commands::{self, Measurements, Plan, median};
use crate::fairness::{self, Fairness};
use crate::goals;
use crate::ground::Ground;
use crate::growth;
use crate::jobs;
use crate::lag::{self, Lag};
use crate::machine;
use crate::memory;
use crate::raw;
use crate::report::{Results, show, table};
use crate::target::{self, Inopsio, Name, Target};

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
    /// Filling, catching up, rebuilding, replaying
    Bulk,
    /// Jobs per second, beside apalis
    Jobs,
    /// What an append costs behind a long log; only when it is named: it takes minutes and gigabytes
    Growth,
}

/// Tenants that share the load.
const TENANTS: usize = 10;

/// Measures everything, prints it, writes it.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let ground = Ground::start().await?;
    let mut results = Results::default();
    machine::describe(&ground, &mut results).await?;
    let inopsio = Inopsio::new(options.inopsio.as_deref(), &ground, "bench_ours")?;
    inopsio.run(&["migrate"]).await?;
    let credentials = inopsio.credentials(TENANTS).await?;
    let (ours, ready) = inopsio.serve(&ground, &credentials).await?;
    results.number("ready_s", ready.as_secs_f64());
    results.number("rss_mib.idle", memory::resident_mib(ours.pid())?);
    let mut targets =
        vec![target::peer(&ground, &credentials).await?, target::prototype(&ground, &credentials).await?, ours];
    targets.retain(|target| options.servers.is_empty() || options.servers.contains(&target.name));

    if options.wants(Part::Raw) {
        measure_raw(options, &ground, &mut results).await?;
    }
    if options.wants(Part::Commands) {
        measure_commands(options, &ground, &targets, &mut results).await?;
    }
    if options.wants(Part::Lag) {
        measure_lag(options, &targets, &mut results).await?;
    }
    if options.wants(Part::Fairness) {
        measure_fairness(options, &targets, &mut results).await?;
    }
    drop(targets);
    if options.wants(Part::Jobs) {
        measure_jobs(options, &ground, &mut results).await?;
    }
    if options.wants(Part::Bulk) {
        measure_bulk(options, &inopsio, &ground, &mut results).await?;
    }
    if options.only.contains(&Part::Growth) {
        measure_growth(options, &inopsio, &ground, &mut results).await?;
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
        ("raw.upsert_batched", "read model rows, RLS, batches of 500", middle(|round| round.upsert_batched)),
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

async fn measure_commands(
    options: &Options,
    ground: &Ground,
    targets: &[Target],
    results: &mut Results,
) -> anyhow::Result<()> {
    let plan = Plan {
        clients: options.clients.clone(),
        rounds: options.rounds(),
        warm_up: options.seconds(0.5),
        measure: options.seconds(3.5),
    };
    let bar = ProgressBar::new((plan.clients.len() * plan.rounds * targets.len()) as u64)
        .with_style(ProgressStyle::with_template("{bar:24} {pos}/{len} {msg}")?);
    let mut measurements = commands::measure(&plan, ground, targets, &bar).await?;
    bar.finish_and_clear();
    let rows = command_rows(&plan, &mut measurements, results);
    let header = [
        "clients",
        "server",
        "commands/s",
        "p50 ms",
        "p99 ms",
        "times the peer",
        "kept up/s",
        "peak MiB",
        "µs CPU: server",
        "Postgres",
        "NATS",
        "load",
    ];
    println!("{}", table(&header, rows));
    Ok(())
}

fn command_rows(plan: &Plan, measurements: &mut Measurements, results: &mut Results) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for clients in &plan.clients {
        let peer = measurements.get(&(*clients, Name::Peer)).cloned().unwrap_or_default();
        let prototype = measurements.get(&(*clients, Name::Prototype)).cloned().unwrap_or_default();
        for name in [Name::Peer, Name::Prototype, Name::Ours] {
            let Some(measured) = measurements.get_mut(&(*clients, name)) else { continue };
            let ratio = measured.ratio_to(&peer);
            let (p50, p99) = (measured.latencies.percentile_ms(0.50), measured.latencies.percentile_ms(0.99));
            results.number(&format!("{name}.commands_{clients}"), measured.rate());
            let sustained = median(&measured.sustained);
            results.number(&format!("{name}.sustained_{clients}"), sustained);
            results.number(&format!("{name}.p50_ms_{clients}"), p50);
            results.number(&format!("{name}.p99_ms_{clients}"), p99);
            if name == Name::Ours {
                results.number(&format!("ratio.commands_{clients}"), ratio);
                results.number(&format!("ratio.sustained_{clients}"), measured.sustained_ratio_to(&peer));
                results.number(&format!("ratio.prototype_{clients}"), measured.ratio_to(&prototype));
                results
                    .number("rss_mib.load", results.get("rss_mib.load").unwrap_or_default().max(measured.peak_rss_mib));
            }
            let cost = measured.cost();
            for (part, spent) in
                [("server", cost.server), ("postgres", cost.postgres), ("nats", cost.nats), ("load", cost.load)]
            {
                results.number(&format!("{name}.cpu_us_{clients}.{part}"), spent);
            }
            rows.push(vec![
                clients.to_string(),
                name.to_string(),
                show(measured.rate()),
                show(p50),
                show(p99),
                show(ratio),
                show(sustained),
                show(measured.peak_rss_mib),
                show(cost.server),
                show(cost.postgres),
                show(cost.nats),
                show(cost.load),
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
            visible.count().to_string(),
            show(p50),
            show(p99),
        ]);
    }
    println!(
        "{}",
        table(
            &["command to visible row", "reached/s", "answer p50 ms", "p99 ms", "probes", "visible p50 ms", "p99 ms"],
            rows
        )
    );
    Ok(())
}

async fn measure_fairness(options: &Options, targets: &[Target], results: &mut Results) -> anyhow::Result<()> {
    let Some(target) = targets.iter().find(|target| target.name == Name::Ours) else { return Ok(()) };
    let rows = if options.quick { 5_000 } else { 1_000_000 };
    let Fairness { mut quiet, mut importing, rows_per_s } =
        fairness::measure(target, rows, options.seconds(10.0)).await?;
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

async fn measure_jobs(options: &Options, ground: &Ground, results: &mut Results) -> anyhow::Result<()> {
    let apalis = options.apalis.clone().or_else(jobs::apalis);
    let count = if options.quick { 200 } else { 5_000 };
    let mut rounds = Vec::new();
    for nth in 0..options.rounds() {
        rounds.push(jobs::round(ground, apalis.as_deref(), count, nth).await?);
    }
    let middle = |of: &dyn Fn(&jobs::Measured) -> Option<f64>| {
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

async fn measure_growth(
    options: &Options,
    inopsio: &Inopsio,
    ground: &Ground,
    results: &mut Results,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let lengths = [options.growth_events / 100, options.growth_events];
    let points = growth::measure(inopsio, ground, &lengths, |step| bar.set_message(step.to_owned())).await?;
    bar.finish_and_clear();
    let mut rows = Vec::new();
    for (key, point) in ["short", "long"].iter().zip(&points) {
        results.number(&format!("growth.{key}.events"), point.events as f64);
        results.number(&format!("growth.{key}.append_us"), point.postgres_us);
        results.number(&format!("growth.{key}.append_per_s"), point.per_s);
        rows.push(vec![show(point.events as f64), show(point.postgres_us), show(point.per_s)]);
    }
    if let [short, long] = points.as_slice() {
        results.number("growth.ratio", long.postgres_us / short.postgres_us);
    }
    println!("{}", table(&["events in the log", "an append: µs CPU of Postgres", "appends/s"], rows));
    Ok(())
}

async fn measure_bulk(
    options: &Options,
    inopsio: &Inopsio,
    ground: &Ground,
    results: &mut Results,
) -> anyhow::Result<()> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let events = if options.quick { 20_000 } else { 1_000_000 };
    let bulk =
        bulk::measure(inopsio, ground, events, |step| bar.set_message(format!("{events} events: {step}"))).await?;
    bar.finish_and_clear();
    let figures = [
        ("append_per_s", "into the log, in large appends: events/s", bulk.append_per_s),
        ("relay_per_s", "from the log into the stream: events/s", bulk.relay_per_s),
        ("catch_up_per_s", "one read model catching up: events/s", bulk.catch_up_per_s),
        ("partitions.one_per_s", "the same of two tenants, as one partition: events/s", bulk.partitions.one_per_s),
        ("partitions.two_per_s", "as two partitions: events/s", bulk.partitions.two_per_s),
        ("partitions.ratio", "two partitions, times one", bulk.partitions.two_per_s / bulk.partitions.one_per_s),
        ("rebuild_s", "one read model rebuilt: seconds", bulk.rebuild_s),
        ("replay_per_s", "replay as NDJSON: events/s", bulk.replay_per_s),
    ];
    results.number("bulk_events", bulk.events as f64);
    for (name, _, figure) in figures {
        results.number(name, figure);
    }
    if let Some(raw) = results.get("raw.upsert_batched").filter(|raw| *raw > 0.0) {
        results.number("ratio.catch_up", bulk.catch_up_per_s / raw);
    }
    let event = bulk.event;
    let each = [
        ("event.append_us", "processor time to append: µs, Postgres", event.append_us),
        ("event.stream_us", "processor time to store: µs, nats-server", event.stream_us),
        ("event.view_us", "processor time to show while catching up: µs, Postgres", event.view_us),
        ("event.log_bytes", "log and commands: bytes", event.log_bytes),
        ("event.wal_bytes", "write-ahead log: bytes", event.wal_bytes),
        ("event.stream_bytes", "stream: bytes", event.stream_bytes),
        ("event.view_bytes", "read model of leads with history: bytes", event.view_bytes),
    ];
    for (name, _, figure) in each {
        results.number(name, figure);
    }
    println!("{}", table(&["one event takes", ""], each.map(|(_, what, figure)| vec![what.to_owned(), show(figure)])));
    let header = format!("{} events of a tenant", show(bulk.events as f64));
    println!("{}", table(&[&header, "ours"], figures.map(|(_, what, figure)| vec![what.to_owned(), show(figure)])));
    Ok(())
}

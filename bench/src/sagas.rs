//! Steps of sagas per second. The sagas have five steps that do nothing, so the figure measures the coordinator itself: an event in the
//! service's log for each start and outcome of a step, and the table of due steps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use coordinator::{Coordinator, Definition, Fault, Next, Sagas, Settings, Start, StartContext, Step, StepContext};
use eventstore::EventStore;
use eventstore::admin::Mode;
use executor::Executor;
use kernel::{IdSource, RecordedEvent, Service, SystemClock, SystemIds, TenantId};
use tokio_util::sync::CancellationToken;

use crate::bulk::history;
use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::report::{Results, show, table};
use crate::run::Options;

/// The steps of a saga.
const STEPS: [&str; 5] = ["reserve", "prepare", "carry_out", "confirm", "tell"];

/// Maximum time for all sagas to end.
const PATIENCE: Duration = Duration::from_mins(3);

coordinator::sagas_of!(
    /// The names of the benchmark's sagas.
    struct BenchSagas of "crm"
);

fn definition() -> Definition {
    let steps = STEPS.map(|name| Step::new(name, nothing).undo(nothing));
    Definition::new("do_nothing", 1, &[], &["crm.lead.captured"], start, steps.to_vec())
}

async fn start(_: StartContext, event: RecordedEvent) -> Result<Option<Start<()>>, Fault> {
    Ok(Some(Start { key: event.aggregate_id, parameters: () }))
}

async fn nothing(_: StepContext, (): ()) -> Result<Next, Fault> {
    Ok(Next::done())
}

/// Measures rounds and prints the median.
pub async fn part(options: &Options, infrastructure: &Infrastructure, results: &mut Results) -> anyhow::Result<()> {
    let events = if options.quick { history::APPEND } else { 20 * history::APPEND };
    let mut rates = Vec::new();
    for nth in 0..options.rounds() {
        rates.push(round(infrastructure, events, nth).await?);
    }
    results.number("sagas.steps_per_s", median(&rates));
    println!(
        "{}",
        table(&["sagas of five steps", "steps per second"], [vec!["ours".to_owned(), show(median(&rates))]])
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the benchmark's own tenant")]
async fn round(infrastructure: &Infrastructure, events: u64, nth: usize) -> anyhow::Result<f64> {
    let database = infrastructure.database(Service::new("crm"), &format!("bench_sagas_{nth}"));
    eventstore::admin::migrate(&infrastructure.admin(), &database, Mode::Apply).await?;
    coordinator::migrate(&infrastructure.admin(), &database, Mode::Apply).await?;
    let clock = Arc::new(SystemClock);
    let store = EventStore::open(&database, eventstore::Settings::default(), clock.clone()).await?;
    history::fill(&store, TenantId::vouched(SystemIds.next()), events).await?;

    let settings = executor::Settings { cache_bytes: 64 << 20, snapshot_events: 0, claim_key: [7; 32] };
    let executor = Executor::new(store.clone(), clock.clone(), Arc::new(SystemIds), settings);
    let sagas = Sagas::of::<BenchSagas>(&[], vec![definition()]);
    let repository = sagas.repository(executor);
    let coordinator = Coordinator::new(&database, store.clone(), None, sagas, repository, clock, Settings::default());
    let (pool, stop) = (infrastructure.pool(&database.name), CancellationToken::new());
    let (begun, count) = (Instant::now(), events / history::STEPS);
    let running = tokio::spawn(coordinator.run(stop.clone()));
    let took = loop {
        let ended: i64 = sqlx::query_scalar("SELECT count(*) FROM saga.instances WHERE status = 'completed'")
            .fetch_one(&pool)
            .await
            .context("the sagas can't be counted")?;
        if ended as u64 == count {
            break begun.elapsed();
        }
        ensure!(begun.elapsed() < PATIENCE, "{ended} of {count} sagas have ended after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    stop.cancel();
    running.await?;
    store.close().await;
    Ok((count * STEPS.len() as u64) as f64 / took.as_secs_f64())
}

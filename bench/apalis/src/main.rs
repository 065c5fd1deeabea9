//! The job benchmark for apalis with Postgres, as its guide shows it: jobs are pushed as a stream and run by one worker, which is woken by
//! `NOTIFY` and has a fixed concurrency. The jobs do nothing, as in our own benchmark.
//!
//! Prints one JSON object: the number of jobs submitted and completed per second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_postgres::{Config, PostgresStorage};
use clap::Parser;
use futures::stream;
use sqlx::postgres::PgPoolOptions;

/// Does jobs as apalis does
#[derive(Parser)]
struct Arguments {
    /// URL of an empty database, as a superuser
    #[arg(long)]
    postgres: String,
    /// How many jobs
    #[arg(long, default_value_t = 2_000)]
    jobs: usize,
    /// How many at the same time
    #[arg(long, default_value_t = 16)]
    concurrency: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { postgres, jobs, concurrency } = Arguments::parse();
    let pool = PgPoolOptions::new().max_connections(20).connect(&postgres).await?;
    PostgresStorage::setup(&pool).await?;
    let config = Config::default().queue("bench").batch_size(100);
    let mut backend = PostgresStorage::new(&pool).with_config(config).with_pubsub();

    let begun = Instant::now();
    let mut items = stream::iter((0..jobs).map(|job| TaskBuilder::new(job).build()));
    backend.push_all(&mut items).await.map_err(|error| anyhow::anyhow!("{error}"))?;
    let asked = begun.elapsed();

    let done = Arc::new(AtomicUsize::new(0));
    let counted = done.clone();
    let begun = Instant::now();
    let worker = WorkerBuilder::new("bench").backend(backend).concurrency(concurrency).parallelize(tokio::spawn).build(
        move |_job: usize| {
            let counted = counted.clone();
            async move {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<(), BoxDynError>(())
            }
        },
    );
    // Wait until the jobs are recorded as done, not only run: an unrecorded job would run again after a crash.
    let finished = async move {
        loop {
            let open: i64 =
                sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'").fetch_one(&pool).await?;
            if open == 0 && done.load(Ordering::Relaxed) >= jobs {
                return Ok::<_, sqlx::Error>(begun.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let took = tokio::select! {
        took = finished => took?,
        ended = worker.run() => anyhow::bail!("the worker ended: {ended:?}"),
    };
    let per_second = |took: Duration| jobs as f64 / took.as_secs_f64();
    println!("{}", serde_json::json!({ "asked_per_s": per_second(asked), "done_per_s": per_second(took) }));
    Ok(())
}

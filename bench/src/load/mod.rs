//! The load generator: clients on keep-alive connections, all on one separate thread.
//!
//! Closed loop ([`closed`]): each client sends its next command when the last one is answered, so the server determines the rate. Open loop
//! ([`open`]): commands are due at a fixed rate independently of the server, and a latency counts from the time at which the command was
//! due, so a stall counts for every command that it delays. [`retrying`]: clients that retry after any error.

mod connection;
mod journey;
mod latency;
mod retrying;
mod zipf;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;

pub use connection::{Answer, Connection};
pub use journey::Journey;
pub use latency::Latencies;
pub use retrying::retrying;
pub use zipf::Zipf;

/// The server under test and the tokens for it.
#[derive(Clone, Debug)]
pub struct Aim {
    /// The server's address.
    pub addr: SocketAddr,
    /// Tokens that it accepts. They are assigned to the clients in turn.
    pub tokens: Vec<Arc<str>>,
    /// If given, chooses the tenant of each lead instead.
    pub zipf: Option<Arc<Zipf>>,
    /// Makes this run's idempotency keys differ from those of other runs.
    pub run: Arc<str>,
}

/// The result of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Number of commands carried out within the measured time.
    pub done: u64,
    /// Number of commands carried out, including the warm-up.
    pub total: u64,
    /// Number of commands refused, including the warm-up.
    pub failed: u64,
    /// The response to the first refused command.
    pub first_failure: Option<String>,
    /// Length of the measured time in seconds.
    pub seconds: f64,
    /// Latencies of the commands carried out within the measured time.
    pub latencies: Latencies,
}

impl Outcome {
    /// Commands per second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.seconds
    }

    fn merge(&mut self, other: Self) {
        self.done += other.done;
        self.total += other.total;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.latencies.merge(other.latencies);
    }

    fn fail(&mut self, reason: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(reason);
    }
}

/// Runs a closed loop: each of `clients` sends its next command when the last is answered, for the duration `measure` after `warm_up`.
pub async fn closed(aim: Aim, clients: usize, warm_up: Duration, measure: Duration) -> anyhow::Result<Outcome> {
    on_own_thread(async move {
        let start = Instant::now() + warm_up;
        let window = (start, start + measure);
        let mut all = Outcome { seconds: measure.as_secs_f64(), ..Outcome::default() };
        for outcome in
            try_join_all((0..clients).map(|client| tokio::spawn(closed_client(aim.clone(), client, window)))).await?
        {
            all.merge(outcome?);
        }
        Ok(all)
    })
    .await
}

async fn closed_client(aim: Aim, client: usize, (start, end): (Instant, Instant)) -> anyhow::Result<Outcome> {
    let mut connection = Connection::open(aim.addr).await.context("the server can't be reached")?;
    let mut journey = aim.journey(client);
    let mut outcome = Outcome::default();
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(outcome);
        }
        let answered = step(&mut connection, &mut journey).await?;
        let now = Instant::now();
        if let Err(reason) = answered {
            outcome.fail(reason);
            continue;
        }
        outcome.total += 1;
        if now >= start && now < end {
            outcome.done += 1;
            outcome.latencies.note(now - sent);
        }
    }
}

/// Runs an open loop: commands at a fixed `rate` per second for the duration `measure`, over at most `clients` connections.
pub async fn open(aim: Aim, clients: usize, rate: u32, measure: Duration) -> anyhow::Result<Outcome> {
    on_own_thread(async move {
        let start = Instant::now() + Duration::from_millis(50);
        let slots = Arc::new(Slots { start, rate, end: start + measure, next: 0.into() });
        let mut all = Outcome { seconds: measure.as_secs_f64(), ..Outcome::default() };
        for outcome in
            try_join_all((0..clients).map(|client| tokio::spawn(open_client(aim.clone(), client, slots.clone()))))
                .await?
        {
            all.merge(outcome?);
        }
        Ok(all)
    })
    .await
}

/// The times at which commands are due.
struct Slots {
    start: Instant,
    rate: u32,
    end: Instant,
    next: std::sync::atomic::AtomicU32,
}

impl Slots {
    fn take(&self) -> Option<Instant> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let due = self.start + Duration::from_secs(1) * number / self.rate;
        (due < self.end).then_some(due)
    }
}

async fn open_client(aim: Aim, client: usize, slots: Arc<Slots>) -> anyhow::Result<Outcome> {
    let mut connection = Connection::open(aim.addr).await.context("the server can't be reached")?;
    let mut journey = aim.journey(client);
    let mut outcome = Outcome::default();
    while let Some(due) = slots.take() {
        tokio::time::sleep_until(due.into()).await;
        if let Err(reason) = step(&mut connection, &mut journey).await? {
            outcome.fail(reason);
        } else {
            outcome.done += 1;
            outcome.total += 1;
            outcome.latencies.note(due.elapsed());
        }
    }
    Ok(outcome)
}

/// Sends one command. A connection error ends the measurement; a refusal is returned as the inner error.
async fn step(connection: &mut Connection, journey: &mut Journey) -> anyhow::Result<Result<(), String>> {
    let answer = connection.send(journey.next()).await.context("the connection broke")?;
    Ok(journey.answered(&answer))
}

impl Aim {
    /// A new journey for a client with this number.
    pub fn journey(&self, client: usize) -> Journey {
        Journey::new(self.tokens[client % self.tokens.len()].clone(), self.zipf.clone(), self.run.clone())
    }
}

/// Runs the load on a single thread, so that it takes at most one core and needs no locks.
async fn on_own_thread<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
    })
    .await?
}

//! The lag from a command to the row that shows it, while commands come in at a fixed rate.
//!
//! A probe sends a command at regular intervals, and then queries its row until the row is visible. The time runs from sending the command
//! to the response with the row, so it includes the command itself. Ours is queried through GraphQL with the position from the command's
//! answer, so the server waits and nobody polls. The peer has no such feature and is polled every millisecond.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::load::{self, Aim, Answer, Connection, Latencies, Outcome};
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Name, Target};

/// Number of connections that carry the load.
const CLIENTS: usize = 64;

/// Interval between two commands of the probe.
const PROBE_EVERY: Duration = Duration::from_millis(25);

/// Maximum time until a row is visible.
const PATIENCE: Duration = Duration::from_secs(10);

/// The figures at one rate.
#[derive(Clone, Debug)]
pub struct Lag {
    /// The commands of the load. Their latencies count from the time at which they were due.
    pub load: Outcome,
    /// Time from sending a command to seeing its row.
    pub visible: Latencies,
}

/// Measures the lag at several rates and prints it.
pub async fn part(options: &Options, targets: &[Target], results: &mut Results) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for (name, rate, key) in
        [(Name::Peer, 500, "peer.lag_ms"), (Name::Ours, 500, "lag_ms_500"), (Name::Ours, 1000, "lag_ms")]
    {
        let Some(target) = targets.iter().find(|target| target.name == name) else { continue };
        let Lag { mut load, mut visible } = measure(target, rate, options.seconds(10.0)).await?;
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

/// Measures one server at `rate` commands per second for the duration `measure`.
pub async fn measure(target: &Target, rate: u32, measure: Duration) -> anyhow::Result<Lag> {
    let start = Instant::now();
    let load = load::open(target.aim.clone(), CLIENTS, rate, measure);
    let (load, visible) = tokio::try_join!(load, probe(target.name, &target.aim, || start.elapsed() < measure))?;
    if let Some(failure) = &load.first_failure {
        anyhow::bail!("{} refused a command at {rate}/s: {failure}", target.name);
    }
    target.settle().await?;
    Ok(Lag { load, visible })
}

/// Sends probes one after the other as long as `goes_on` returns true.
pub async fn probe(name: Name, aim: &Aim, goes_on: impl Fn() -> bool) -> anyhow::Result<Latencies> {
    let mut connection = Connection::open(aim.addr).await?;
    let mut latencies = Latencies::default();
    let mut tick = tokio::time::interval(PROBE_EVERY);
    while goes_on() {
        tick.tick().await;
        // A new journey each time, because the first command of a journey captures a lead.
        let mut journey = aim.journey(0);
        let sent = Instant::now();
        let answer = connection.send(journey.next()).await?;
        journey.answered(&answer).map_err(anyhow::Error::msg)?;
        let position = answer.header("x-position").map(str::to_owned);
        let lead = journey.lead().context("a captured lead has an id")?;
        let question = match name {
            Name::Ours => graphql(aim, lead, &position.context("a command answers with its position")?),
            Name::Peer | Name::Prototype => rest(aim, lead),
        };
        wait_for_row(&mut connection, &question, sent).await?;
        latencies.note(sent.elapsed());
    }
    Ok(latencies)
}

async fn wait_for_row(connection: &mut Connection, question: &str, sent: Instant) -> anyhow::Result<()> {
    loop {
        let answer = connection.send(question.as_bytes()).await?;
        if shows_row(&answer)? {
            return Ok(());
        }
        anyhow::ensure!(sent.elapsed() < PATIENCE, "a row is not there after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Whether a response has the row. For an unknown lead GraphQL responds 200 with `"lead":null`, the peer 404.
fn shows_row(answer: &Answer<'_>) -> anyhow::Result<bool> {
    let body = String::from_utf8_lossy(answer.body);
    anyhow::ensure!(matches!(answer.status, 200 | 404) && !body.contains("\"errors\""), "{} {body}", answer.status);
    Ok(answer.status == 200 && !body.contains("\"lead\":null"))
}

fn graphql(aim: &Aim, lead: &str, position: &str) -> String {
    let body = format!(r#"{{"query":"{{ crm {{ lead(id: \"{lead}\") {{ id status }} }} }}"}}"#);
    format!(
        "POST /graphql HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\nx-min-position: {position}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        aim.tokens[0],
        body.len()
    )
}

fn rest(aim: &Aim, lead: &str) -> String {
    format!("GET /v1/crm/leads/{lead} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n", aim.tokens[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer<'_> {
        Answer { status, head: b"", body: body.as_bytes() }
    }

    #[test]
    fn a_row_counts_as_visible_only_when_it_is_in_the_answer() {
        assert!(shows_row(&answer(200, r#"{"data":{"crm":{"lead":{"id":"1"}}}}"#)).unwrap());
        assert!(!shows_row(&answer(200, r#"{"data":{"crm":{"lead":null}}}"#)).unwrap());
        assert!(!shows_row(&answer(404, "")).unwrap());
        assert!(shows_row(&answer(200, r#"{"data":null,"errors":[{"message":"no"}]}"#)).is_err());
        assert!(shows_row(&answer(504, "")).is_err());
    }
}

//! The lag from a command to the row that shows it, while commands come in at a fixed rate.
//!
//! A probe sends a command of its own every so often and asks for what it made until it is there. The clock runs from
//! sending the command to the answer that has it, so the command's own time is in it. Ours is asked through GraphQL with the
//! position that the command answered (the server waits, nobody polls); the peer, which has no such thing, every millisecond.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::load::{self, Aim, Answer, Connection, Latencies, Outcome};
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Name, Target};

/// Connections that carry the load.
const CLIENTS: usize = 64;

/// Between two commands of the probe.
const PROBE_EVERY: Duration = Duration::from_millis(25);

/// A row that is not there by then is an error.
const PATIENCE: Duration = Duration::from_secs(10);

/// The lag at a rate.
#[derive(Clone, Debug)]
pub struct Lag {
    /// The commands that made the load; their latencies count from when they were due.
    pub load: Outcome,
    /// From sending a command to seeing its row.
    pub visible: Latencies,
}

/// Measures the lag at several rates, and shows it.
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

/// Measures one server at `rate` commands per second for `measure`.
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

/// Probes one after the other, while there is reason to.
pub async fn probe(name: Name, aim: &Aim, goes_on: impl Fn() -> bool) -> anyhow::Result<Latencies> {
    let mut connection = Connection::open(aim.addr).await?;
    let mut latencies = Latencies::default();
    let mut tick = tokio::time::interval(PROBE_EVERY);
    while goes_on() {
        tick.tick().await;
        // A journey of its own each time, so that each command of the probe captures a lead.
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

/// GraphQL answers 200 with `"lead":null` for what it does not know; the peer answers 404.
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

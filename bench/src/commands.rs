//! Commands per second and their latencies at several numbers of clients. Each round measures every server under test in turn and begins
//! with another one, so that changes of the machine's load affect all of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cpu;
use crate::infrastructure::Infrastructure;
use crate::load::{self, Latencies, Outcome};
use crate::memory;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Name, Target};

/// Duration and number of measurements.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Numbers of clients to measure.
    pub clients: Vec<usize>,
    /// Number of rounds.
    pub rounds: usize,
    /// Warm-up before each measurement, which is not counted.
    pub warm_up: Duration,
    /// Duration of each measurement.
    pub measure: Duration,
}

/// The figures of one server with one number of clients.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Commands per second of each round.
    pub rates: Vec<f64>,
    /// Latencies of all rounds together.
    pub latencies: Latencies,
    /// Number of refused commands.
    pub failed: u64,
    /// The largest resident set in MiB.
    pub peak_rss_mib: f64,
    /// Sustained commands per second of each round: until the read model has applied all of them. A server that answers faster than it
    /// projects only builds up a backlog.
    pub sustained: Vec<f64>,
    /// Processor time per command, of each round.
    pub costs: Vec<Cost>,
}

/// Processor time per command in microseconds, from the first command until the read models have applied all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Of the server under test.
    pub server: f64,
    /// Of Postgres.
    pub postgres: f64,
    /// Of nats-server.
    pub nats: f64,
    /// Of the load generator, which does not count against the server.
    pub load: f64,
}

/// Figures by number of clients and server.
pub type Measurements = BTreeMap<(usize, Name), Measured>;

/// Measures commands and prints the figures.
pub async fn part(
    options: &Options,
    infrastructure: &Infrastructure,
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
    let mut measurements = measure(&plan, infrastructure, targets, &bar).await?;
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

/// Runs the plan. A refused command ends it, because a server that refuses commands can't be compared.
pub async fn measure(
    plan: &Plan,
    infrastructure: &Infrastructure,
    targets: &[Target],
    bar: &ProgressBar,
) -> anyhow::Result<Measurements> {
    let mut measurements = Measurements::new();
    for round in 0..plan.rounds {
        for clients in &plan.clients {
            for turn in 0..targets.len() {
                let target = &targets[(turn + round) % targets.len()];
                bar.set_message(format!(
                    "round {} of {}: {} with {clients} clients",
                    round + 1,
                    plan.rounds,
                    target.name
                ));
                let (before, began) = (spent(infrastructure, target)?, Instant::now());
                let (outcome, peak) = turn_of(target, *clients, plan).await?;
                let sustained = outcome.total as f64 / began.elapsed().as_secs_f64();
                let cost = spent(infrastructure, target)?.since(before).for_each(outcome.total);
                let measured = measurements.entry((*clients, target.name)).or_default();
                measured.rates.push(outcome.rate());
                measured.sustained.push(sustained);
                measured.costs.push(cost);
                measured.failed += outcome.failed;
                measured.peak_rss_mib = measured.peak_rss_mib.max(peak);
                measured.latencies.merge(outcome.latencies);
                bar.inc(1);
            }
        }
    }
    Ok(measurements)
}

async fn turn_of(target: &Target, clients: usize, plan: &Plan) -> anyhow::Result<(Outcome, f64)> {
    let load = load::closed(target.aim.clone(), clients, plan.warm_up, plan.measure);
    let (outcome, peak) = memory::peak_while(target.pid(), load).await?;
    let outcome = outcome?;
    if let Some(failure) = &outcome.first_failure {
        anyhow::bail!("{} refused {} commands, the first with: {failure}", target.name, outcome.failed);
    }
    target.settle().await?;
    Ok((outcome, peak))
}

/// Processor time used so far, in microseconds.
fn spent(infrastructure: &Infrastructure, target: &Target) -> anyhow::Result<Cost> {
    let used = infrastructure.used()?;
    let all = Cost {
        server: cpu::seconds(target.pid())?,
        postgres: used.postgres,
        nats: used.nats,
        load: cpu::seconds(std::process::id())?,
    };
    Ok(all.map(|seconds| seconds * 1e6))
}

impl Cost {
    fn map(self, with: impl Fn(f64) -> f64) -> Self {
        let Self { server, postgres, nats, load } = self;
        Self { server: with(server), postgres: with(postgres), nats: with(nats), load: with(load) }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            server: self.server - earlier.server,
            postgres: self.postgres - earlier.postgres,
            nats: self.nats - earlier.nats,
            load: self.load - earlier.load,
        }
    }

    fn for_each(self, commands: u64) -> Self {
        self.map(|spent| spent / commands.max(1) as f64)
    }
}

impl Measured {
    /// Processor time per command: for each part the median of the rounds.
    pub fn cost(&self) -> Cost {
        let middle = |of: fn(&Cost) -> f64| median(&self.costs.iter().map(of).collect::<Vec<_>>());
        Cost {
            server: middle(|cost| cost.server),
            postgres: middle(|cost| cost.postgres),
            nats: middle(|cost| cost.nats),
            load: middle(|cost| cost.load),
        }
    }

    /// The median of the rounds' commands per second.
    pub fn rate(&self) -> f64 {
        median(&self.rates)
    }

    /// The speed relative to `other`: the median of the rounds' ratios. Both must have been measured in each round.
    pub fn ratio_to(&self, other: &Self) -> f64 {
        ratio(&self.rates, &other.rates)
    }

    /// The same for sustained commands per second.
    pub fn sustained_ratio_to(&self, other: &Self) -> f64 {
        ratio(&self.sustained, &other.sustained)
    }
}

/// The median of the ratios of corresponding values.
pub fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(&ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect::<Vec<_>>())
}

/// The median; 0 of an empty list.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn a_ratio_is_taken_within_the_rounds() {
        let ours = Measured { rates: vec![100.0, 10.0, 60.0], ..Measured::default() };
        let theirs = Measured { rates: vec![20.0, 2.0, 10.0], ..Measured::default() };
        assert!(close(ours.ratio_to(&theirs), 5.0));
    }

    #[test]
    fn a_cost_is_what_was_spent_in_between_by_each_command() {
        let before = Cost { server: 10.0, postgres: 1.0, nats: 2.0, load: 3.0 };
        let after = Cost { server: 30.0, postgres: 5.0, nats: 2.0, load: 4.0 };
        let cost = after.since(before).for_each(2);
        assert_eq!(cost, Cost { server: 10.0, postgres: 2.0, nats: 0.0, load: 0.5 });
        assert_eq!(after.since(before).for_each(0), after.since(before));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert!(close(median(&[4.0, 1.0, 3.0, 2.0]), 2.5));
        assert!(close(median(&[9.0, 1.0, 3.0]), 3.0));
        assert!(close(median(&[]), 0.0));
    }
}

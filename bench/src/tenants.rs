//! Whether many tenants cost more than few: commands of a thousand tenants with a Zipf distribution, compared with ten tenants that share
//! the load evenly.

use std::sync::Arc;

use anyhow::{Context, ensure};

use crate::commands::median;
use crate::infrastructure::Infrastructure;
use crate::load::{self, Aim, Latencies, Zipf};
use crate::memory;
use crate::report::{Results, show, table};
use crate::run::Options;
use crate::target::{Inopsio, Name, Target};

/// Number of tenants.
const TENANTS: usize = 1_000;

/// Number of clients in both cases.
const CLIENTS: usize = 64;

/// The figures for one of the two cases.
#[derive(Default)]
struct Reached {
    rates: Vec<f64>,
    latencies: Latencies,
    peak_mib: f64,
}

/// Measures both cases in turns and prints the figures.
pub async fn part(
    options: &Options,
    infrastructure: &Infrastructure,
    inopsio: &Inopsio,
    targets: &[Target],
    results: &mut Results,
) -> anyhow::Result<()> {
    let Some(target) = targets.iter().find(|target| target.name == Name::Ours) else { return Ok(()) };
    let count = if options.quick { 20 } else { TENANTS };
    let few = target.aim.clone();
    let like = few.tokens.first().context("there is no tenant yet")?;
    let tokens = inopsio.listed(infrastructure, "zipf", count, like).await.context("the tenants can't be made")?;
    eprintln!("{count} tenants are there");
    let many = Aim { zipf: Some(Arc::new(Zipf::new(tokens))), ..few.clone() };
    let mut reached = [Reached::default(), Reached::default()];
    for round in 0..options.rounds() {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let aim = if which == 0 { &few } else { &many };
            let load = load::closed(aim.clone(), CLIENTS, options.seconds(1.0), options.seconds(5.0));
            let (outcome, peak) = memory::peak_while(target.pid(), load).await?;
            let outcome = outcome?;
            ensure!(outcome.failed == 0, "a command was refused: {:?}", outcome.first_failure);
            target.settle().await?;
            let (reached, tenants) = (&mut reached[which], if which == 0 { few.tokens.len() } else { count });
            eprintln!(
                "round {} of {}: {tenants} tenants, {} commands/s",
                round + 1,
                options.rounds(),
                show(outcome.rate())
            );
            reached.rates.push(outcome.rate());
            reached.latencies.merge(outcome.latencies);
            reached.peak_mib = reached.peak_mib.max(peak);
        }
    }
    let mut rows = Vec::new();
    for ((key, count), reached) in [("ten", few.tokens.len()), ("many", count)].into_iter().zip(&mut reached) {
        let (rate, p99) = (median(&reached.rates), reached.latencies.percentile_ms(0.99));
        results.number(&format!("tenants.{key}.commands_64"), rate);
        results.number(&format!("tenants.{key}.p99_ms"), p99);
        results.number(&format!("tenants.{key}.rss_mib"), reached.peak_mib);
        rows.push(vec![count.to_string(), show(rate), show(p99), show(reached.peak_mib)]);
    }
    let ratio: Vec<f64> = reached[1].rates.iter().zip(&reached[0].rates).map(|(many, few)| many / few).collect();
    results.number("tenants.count", count as f64);
    results.number("tenants.ratio", median(&ratio));
    println!("{}", table(&["tenants", "commands/s", "p99 ms", "peak MiB"], rows));
    Ok(())
}

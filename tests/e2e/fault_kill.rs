//! kill -9 of any process at random times under load.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};

use crate::ledger;
use crate::load::Load;
use crate::world::World;

const CLIENTS: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Inopsio(usize),
    Postgres,
    Nats,
}

/// `INOPSIO_FAULT_SEED` reproduces a choice of victims and times; `INOPSIO_FAULT_SECONDS` sets the duration.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_kill_9_of_anything_under_load_loses_doubles_and_reorders_nothing() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = setting("INOPSIO_FAULT_SEED").unwrap_or_else(|| rand::rng().random());
    let seconds = setting("INOPSIO_FAULT_SECONDS").unwrap_or(25);
    println!("INOPSIO_FAULT_SEED={seed} INOPSIO_FAULT_SECONDS={seconds}");

    let mut world = World::new().await;
    let client = world.tenant("acme");
    world.start(0).await;
    let load = Load::start(&client, CLIENTS, seed);
    let killed = kill_at_random(&mut world, StdRng::seed_from_u64(seed), Duration::from_secs(seconds)).await;
    let answered = load.end().await;
    println!("killed {killed:?}");

    ledger::assert_consistent(&world, &client, &answered).await;
    let refused = answered.iter().filter(|done| !done.answer.status.is_success()).count();
    assert!(refused > 10, "nobody contended: {refused}");
    let count = world.count().await;

    // A repeated command gets its first answer, from any process, and nothing is written.
    for done in answered.iter().filter(|done| done.answer.status.is_success()).step_by(answered.len() / 100 + 1) {
        let again = client.another(done.client).post(&done.key, &done.path, &done.body).await;
        assert_eq!(again, done.answer, "{}", done.key);
    }
    assert_eq!(world.count().await, count);
    world.stop(0).await;
    world.stop(1).await;
}

/// Kills and restarts random victims, each at least once. A second process joins after a third of the time. At the end everything is
/// running.
async fn kill_at_random(world: &mut World, mut random: StdRng, time: Duration) -> Vec<Victim> {
    let began = Instant::now();
    let mut victims = vec![Victim::Inopsio(0), Victim::Postgres, Victim::Nats];
    let mut waiting = victims.clone();
    waiting.shuffle(&mut random);
    let mut killed = Vec::new();
    while began.elapsed() < time || !waiting.is_empty() {
        if victims.len() == 3 && began.elapsed() > time / 3 {
            world.start(1).await;
            victims.push(Victim::Inopsio(1));
            waiting.push(Victim::Inopsio(1));
        }
        // Random times are the purpose of this test; nothing is waited for by sleeping.
        pause(&mut random, 100..1_500).await;
        let first = waiting.pop().unwrap_or_else(|| *victims.choose(&mut random).unwrap());
        let mut together = vec![first];
        if random.random_bool(0.3) {
            together.push(*victims.choose(&mut random).unwrap());
            together.dedup();
        }
        for victim in &together {
            kill(world, *victim);
            pause(&mut random, 0..50).await;
        }
        pause(&mut random, 0..500).await;
        // In this order, because inopsio does not start without Postgres.
        for server in [Victim::Postgres, Victim::Nats, Victim::Inopsio(0), Victim::Inopsio(1)] {
            if together.contains(&server) {
                restart(world, server).await;
            }
        }
        killed.push(together);
    }
    killed.concat()
}

async fn pause(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}

fn kill(world: &mut World, victim: Victim) {
    match victim {
        Victim::Inopsio(number) => world.kill(number),
        Victim::Postgres => tokio::task::block_in_place(|| world.postgres.kill()),
        Victim::Nats => world.nats.kill(),
    }
}

async fn restart(world: &mut World, victim: Victim) {
    match victim {
        Victim::Inopsio(number) => world.start(number).await,
        Victim::Postgres => tokio::task::block_in_place(|| world.postgres.restart()),
        Victim::Nats => world.nats.restart().await,
    }
}

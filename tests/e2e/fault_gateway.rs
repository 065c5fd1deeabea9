//! A gateway with two instances of the service, all as separate processes: each is killed, and each instance hangs.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rand::Rng;
use serde_json::{Value, json};
use testbed::eventually;

use crate::client::Client;
use crate::ledger::{self, Verdict};
use crate::load::Load;
use crate::world::World;

/// Enough tenants that each instance serves some.
const TENANTS: usize = 6;
const CLIENTS: usize = 3;

/// Maximum time until each tenant's commands and queries are answered again: 10 seconds, and as much again because other tests run on the
/// same machine.
const RECOVERED: Duration = Duration::from_secs(20);

const GATEWAY: usize = 0;

/// After a loss: every tenant writes, and waits until its write is visible. Returns the commands' keys.
async fn recovers(tenants: &[Client], lost: &str) -> Vec<String> {
    let began = Instant::now();
    let all = tenants.iter().enumerate().map(async |(number, client)| {
        let key = format!("{lost}, tenant {number}");
        let done = client.another(0).post(&key, "/v1/crm/leads", &json!({ "name": lost })).await;
        let written = began.elapsed();
        let question = format!("lead(id: \"{}\") {{ name }}", done.id());
        let found = eventually("each tenant reads what it wrote", async || {
            client.ask_once(&question, done.position()).await.filter(|answer| answer.status.is_success())
        });
        assert_eq!(found.await.body["data"]["crm"]["lead"]["name"], lost);
        (key, written)
    });
    let all = join_all(all).await;
    let took = began.elapsed();
    let written = all.iter().map(|(_, written)| *written).max().unwrap();
    println!("{lost}: all tenants wrote within {written:?}, and read within {took:?}");
    assert!(took <= RECOVERED, "{lost}: recovered after {took:?}");
    all.into_iter().map(|(key, _)| key).collect()
}

/// Waits until the instances' states in the gateway's `/ready` are as `wanted`. Returns them.
async fn instances(client: &Client, wanted: impl Fn(&[&str]) -> bool) -> Value {
    eventually("the gateway sees how its instances are", async || {
        let (_, ready) = client.ready().await?;
        let states: Vec<_> = ready["instances"].as_array()?.iter().filter_map(|one| one["state"].as_str()).collect();
        wanted(&states).then(|| ready["instances"].clone())
    })
    .await
}

/// Two instances and a gateway, with tenants and running load of each.
struct Fault {
    world: World,
    tenants: Vec<Client>,
    ports: [u16; 2],
    loads: Vec<Load>,
    /// Keys of the commands that [`recovers`] sent in addition to the load.
    keys: Vec<String>,
}

fn all_up(states: &[&str]) -> bool {
    states == ["up", "up"]
}

fn one_down(states: &[&str]) -> bool {
    states.contains(&"down")
}

impl Fault {
    async fn begin() -> Self {
        let mut world = World::new().await;
        let tenants: Vec<_> = (0..TENANTS).map(|number| world.tenant(&format!("tenant-{number}"))).collect();
        let ports = [testbed::free_port(), testbed::free_port()];
        for (number, port) in ports.into_iter().enumerate() {
            world.start_instance(number + 1, port).await;
        }
        world.start_gateway(GATEWAY, &ports).await;
        instances(&tenants[0], all_up).await;
        let seed = rand::rng().random();
        let loads = tenants
            .iter()
            .enumerate()
            .map(|(number, client)| Load::numbered(client, number * CLIENTS..(number + 1) * CLIENTS, seed))
            .collect();
        Self { world, tenants, ports, loads, keys: Vec::new() }
    }

    async fn recovers(&mut self, lost: &str) {
        self.keys.extend(recovers(&self.tenants, lost).await);
    }

    async fn restart(&mut self, number: usize) {
        self.world.start_instance(number, self.ports[number - 1]).await;
        instances(&self.tenants[0], all_up).await;
    }

    /// Ends the load and compares all answers with the log.
    async fn verdict(self) -> Verdict {
        let Self { mut world, tenants, loads, keys, .. } = self;
        let answered: Vec<_> = join_all(loads.into_iter().map(Load::end)).await.into_iter().flatten().collect();
        let events = world.verify(&tenants[0]).await;
        let mut commands = ledger::commands(&mut world.sql().await).await;
        assert!(keys.iter().all(|key| commands.remove(key).is_some()), "acknowledged after a loss, but not there");
        let besides = |event: &kernel::RecordedEvent| keys.contains(&event.decode_metadata().unwrap().command_id);
        let (extra, by_load): (Vec<_>, Vec<_>) = events.into_iter().partition(besides);
        assert_eq!(extra.len(), keys.len());
        let verdict = ledger::audit(&answered, &by_load, commands);
        println!("{verdict:?}");
        assert!(verdict.acknowledged > 100, "that was no load: {verdict:?}");
        for number in [GATEWAY, 1, 2] {
            world.stop(number).await;
        }
        verdict
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_gateway_or_an_instance_killed_nothing_is_lost_doubled_or_reordered() {
    let mut fault = Fault::begin().await;
    for number in [1, 2] {
        fault.world.kill(number);
        fault.recovers(&format!("instance {number} was killed")).await;
        instances(&fault.tenants[0], one_down).await;
        fault.restart(number).await;
    }
    // A rolling restart: stopped in good order.
    fault.world.stop(1).await;
    fault.restart(1).await;
    fault.world.kill(GATEWAY);
    fault.world.start_gateway(GATEWAY, &fault.ports).await;
    fault.recovers("the gateway was killed").await;
    let verdict = fault.verdict().await;
    let Verdict { acknowledged, refused, .. } = verdict;
    assert_eq!(verdict, Verdict { acknowledged, refused, ..Verdict::default() });
}

/// A suspended process continues with its requests when it wakes. A command that was carried out by the other instance is not repeated. But
/// one that the other instance refused left no trace and may be carried out now: the audit counts it as unasked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_gateway_an_instance_hangs_and_comes_back_nothing_is_lost_doubled_or_reordered() {
    let mut fault = Fault::begin().await;
    for number in [1, 2] {
        fault.world.signal(number, "STOP");
        fault.recovers(&format!("instance {number} hung")).await;
        instances(&fault.tenants[0], one_down).await;
        fault.world.signal(number, "CONT");
        instances(&fault.tenants[0], all_up).await;
    }
    let verdict = fault.verdict().await;
    let Verdict { acknowledged, refused, unasked, .. } = verdict;
    assert_eq!(verdict, Verdict { acknowledged, refused, unasked, ..Verdict::default() });
}

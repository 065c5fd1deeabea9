//! The load: clients that capture leads, concurrently change the same recent leads, and read their writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;

use crate::client::{Answer, Client};
use crate::ledger::{Answered, Step};

/// Number of recent leads that the clients contend for.
const CONTENDED: usize = 12;

/// Running clients.
pub struct Load {
    clients: JoinSet<Vec<Answered>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts clients of one tenant.
    pub fn start(client: &Client, clients: usize, seed: u64) -> Self {
        Self::numbered(client, 0..clients, seed)
    }

    /// The same with client numbers from a range, which distinguish the clients of several tenants.
    pub fn numbered(client: &Client, clients: std::ops::Range<usize>, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let leads = Arc::new(Mutex::new(Vec::new()));
        let clients = clients.map(|number| {
            let random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            run(number, client.another(number), random, leads.clone(), stop.clone())
        });
        Self { clients: clients.collect(), stop }
    }

    /// Stops the clients after their current commands are answered. Returns all commands, in order for each client.
    pub async fn end(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

async fn run(
    number: usize,
    mut client: Client,
    mut random: StdRng,
    leads: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
) -> Vec<Answered> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("client-{number}-{}", answered.len());
        let lead = {
            let leads = leads.lock().unwrap();
            let recent = &leads[leads.len().saturating_sub(CONTENDED)..];
            (!recent.is_empty()).then(|| recent[random.random_range(0..recent.len())].clone())
        };
        let (step, path, body) = match (lead, random.random_range(0..6)) {
            (None, _) | (_, 0) => (Step::Capture, "/v1/crm/leads".to_owned(), json!({ "name": format!("Lead {key}") })),
            (Some(lead), 1 | 2) => {
                let owner = format!("user-{}", random.random_range(0..3));
                (Step::Assign, format!("/v1/crm/leads/{lead}/assign"), json!({ "owner": owner }))
            }
            (Some(lead), 3 | 4) => (Step::StartWork, format!("/v1/crm/leads/{lead}/start-work"), json!({})),
            (Some(lead), _) => (Step::Qualify, format!("/v1/crm/leads/{lead}/qualify"), json!({ "note": "wants it" })),
        };
        let answer = client.post(&key, &path, &body).await;
        if step == Step::Capture && answer.status.is_success() {
            leads.lock().unwrap().push(answer.id().to_owned());
        }
        if answer.status.is_success() && random.random_bool(0.03) {
            reads_what_it_wrote(&client, &answer).await;
        }
        answered.push(Answered { client: number, key, step, path, body, answer });
    }
    answered
}

/// Checks that a read model that answers at a command's position shows its effect. During a failure there may be no answer.
async fn reads_what_it_wrote(client: &Client, done: &Answer) {
    let question = format!("lead(id: \"{}\") {{ version }}", done.id());
    let Some(found) = client.ask_once(&question, done.position()).await else { return };
    if found.status.is_success() && found.body.get("errors").is_none() {
        let version = found.body["data"]["crm"]["lead"]["version"].as_u64();
        assert!(version.is_some_and(|version| version >= done.version()), "{done:?} is not in {found:?}");
    }
}

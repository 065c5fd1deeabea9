//! kill -9 of `inopsio key rewrap` in the middle of its work: the next run completes it, and commands succeed meanwhile.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::ConnectOptions;
use testbed::{VAULT_TOKEN, VaultDouble};

use crate::client::Client;
use crate::world::World;

const PLACE: &str = "transit:transit/inopsio";

/// Number of wrapped tenants' keys in all services, by master key.
async fn wrapped_by(world: &World) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for service in ["auth", "crm", "user"] {
        let database = world.postgres.admin().database(&format!("inopsio_{service}")).disable_statement_logging();
        let names: Vec<String> =
            sqlx::query_scalar("SELECT split_part(holder, '.', 1) FROM log.claims WHERE kind = 'log.tenant_key'")
                .fetch_all(&mut database.connect().await.unwrap())
                .await
                .unwrap();
        for name in names {
            *found.entry(name).or_default() += 1;
        }
    }
    found
}

async fn works(clients: &[Client], name: &str) {
    for (nth, client) in clients.iter().enumerate() {
        client.done("/v1/crm/leads", json!({ "name": name, "email": format!("{name}{nth}@example.com") })).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_rewrap_killed_in_the_middle_loses_no_key_and_is_ended_by_the_next() {
    let mut world = World::new().await;
    let vault = VaultDouble::deriving().await;
    let tenants: Vec<_> = ["acme", "globex", "initech"].iter().map(|slug| world.tenant(slug)).collect();
    world.start(0).await;
    works(&tenants, "before").await;
    world.stop(0).await;
    let before = wrapped_by(&world).await;
    let (local, all) = before.iter().next().map(|(name, count)| (name.clone(), *count)).unwrap();
    assert!(before.len() == 1 && local.starts_with("local-") && all >= 6, "{before:?}");

    world.set("INOPSIO_MASTER_KEY", PLACE.to_owned());
    world.set("INOPSIO_FORMER_MASTER_KEY", "4a".repeat(32));
    world.set("INOPSIO_VAULT_ADDRESS", vault.address.clone());
    world.set("INOPSIO_VAULT_TOKEN", VAULT_TOKEN.to_owned());
    world.start(0).await;
    works(&tenants, "both").await;
    // It requests a new wrapping for each key. Hold its fourth request, and kill it.
    vault.hold("transit/encrypt", 3);
    let mut rewrap = world.spawn(&["key", "rewrap", "--at-once", "1"]);
    vault.reached().await;
    rewrap.kill().unwrap();
    rewrap.wait().unwrap();
    vault.release();
    let half = wrapped_by(&world).await;
    assert_eq!(half, [(local, all - 3), (PLACE.to_owned(), 3)].into());
    works(&tenants, "half").await;

    let told = tokio::task::block_in_place(|| world.ok(&["--format", "json", "key", "rewrap"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["master_key"], PLACE);
    let outcomes = told["outcomes"].as_array().unwrap();
    let sum = |of: &str| outcomes.iter().map(|outcome| outcome[of].as_u64().unwrap()).sum::<u64>() as usize;
    assert_eq!(sum("rewrapped"), all - 3, "{told}");
    assert!(outcomes.iter().all(|outcome| outcome["left"].as_array().unwrap().is_empty()), "{told}");
    assert_eq!(wrapped_by(&world).await, [(PLACE.to_owned(), all)].into());
    world.stop(0).await;

    // Remove the former master key.
    world.set("INOPSIO_FORMER_MASTER_KEY", String::new());
    world.start(0).await;
    works(&tenants, "after").await;
    world.verify(&tenants[0]).await;
    world.stop(0).await;
}

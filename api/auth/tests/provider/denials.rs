//! Records of denied requests of known callers, which can't be used to fill the log.

use std::net::IpAddr;

use auth_aggregates::{Access, AccessEvent};
use auth_api::trust::{Denials, Seen};
use auth_commands::EraseAccount;
use chrono::TimeDelta;
use eventstore::EventStore;
use face::Denied;
use kernel::{Aggregate, Caller, IdSource, Refusal, SystemIds};
use serde_json::{Value, json};
use testbed::eventually;

use crate::world::{World, log_settings};

const DENIED: &str = "auth.access.denied";
const AGAIN: &str = "auth.access.denied_again";

fn missing(permission: &str) -> Denied {
    Denied::of(&Refusal::forbidden("permission_missing", "no").with("permission", permission)).unwrap()
}

fn seen() -> Seen {
    let address = Some(IpAddr::from([192, 0, 2, 7]));
    Seen { request: SystemIds.next(), address, agent: Some("probe/1".parse().unwrap()) }
}

fn caller(world: &World, subject: &str) -> Caller {
    Caller::new(world.tenant.id, subject, &[], [])
}

/// The recorded denials.
async fn recorded(world: &World) -> Vec<(String, Value)> {
    world.events().await.into_iter().filter(|(name, _)| name.starts_with("auth.access.")).collect()
}

/// Waits until so many denials are recorded.
async fn are_recorded(world: &World, count: usize) -> Vec<(String, Value)> {
    eventually("denials are on record", async || {
        let found = recorded(world).await;
        (found.len() >= count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn attack_117_denials_without_end_are_a_handful_of_records_that_count_them() {
    let world = World::start().await;
    let denials = Denials::new(world.provider.authority.clone());
    // This creates the tenant's keys, so that only the events after it are counted.
    assert!(world.get("jwks").send().await.unwrap().status().is_success());
    let (machine, before) = (caller(&world, &SystemIds.next().to_string()), world.head().await);
    let floods = |times: u64| {
        for _ in 0..times {
            denials.note(&machine, &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
        }
    };
    floods(1_000);
    let found = are_recorded(&world, 1).await;
    let (name, said) = &found[0];
    assert_eq!((name.as_str(), &said["subject"]), (DENIED, &json!(machine.subject())));
    assert_eq!(said["reason"], "permission_missing");
    assert_eq!((&said["permission"], &said["operation"]), (&json!("crm:lead:write"), &json!("POST /v1/crm/leads")));
    // The caller has no account, so nobody could request erasure: the address is kept as a keyed hash.
    assert!(said["place"] == json!({}) && said["origin"].as_str().unwrap().len() == 32, "{said}");
    denials.write_due();
    assert_eq!(recorded(&world).await.len(), 1, "the count is told a minute later");
    // A flood for an hour, 1,000 per minute.
    for _ in 1..60 {
        world.clock.advance(TimeDelta::minutes(1));
        denials.write_due();
        floods(1_000);
    }
    denials.finish().await;
    let found = recorded(&world).await;
    assert!(found.len() <= 8, "{} records of an hour", found.len());
    assert!(found[1..].iter().all(|(name, _)| name == AGAIN), "{found:?}");
    assert_eq!(found.last().unwrap().1["times"], 60_000);
    assert_eq!(world.head().await, before + found.len() as i64, "something else was written");
    // A new hour starts a new record, and so does another permission.
    world.clock.advance(TimeDelta::minutes(1));
    floods(1);
    denials.note(&machine, &seen(), "GET /v1/crm/leads/{id}", &missing("crm:lead:read"));
    denials.finish().await;
    assert_eq!(recorded(&world).await.len(), found.len() + 2);
}

#[tokio::test]
async fn what_is_counted_is_written_once_whoever_tells_it_again() {
    let world = World::start().await;
    let denials = Denials::new(world.provider.authority.clone());
    let ada = caller(&world, "ada");
    for _ in 0..3 {
        denials.note(&ada, &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    }
    denials.finish().await;
    denials.finish().await;
    world.clock.advance(TimeDelta::minutes(2));
    denials.write_due();
    denials.finish().await;
    let found = recorded(&world).await;
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), [DENIED, AGAIN]);
    assert_eq!(found[1].1["times"], 3);
}

#[tokio::test]
async fn what_was_counted_by_a_clock_that_was_ahead_is_told_when_it_is_right_and_what_comes_then_is_another_record() {
    let world = World::start().await;
    let denials = Denials::new(world.provider.authority.clone());
    let ada = caller(&world, "ada");
    let is_denied = || denials.note(&ada, &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    world.clock.advance(TimeDelta::hours(5));
    is_denied();
    is_denied();
    are_recorded(&world, 1).await;
    world.clock.advance(TimeDelta::hours(-5));
    is_denied();
    denials.finish().await;
    let found = recorded(&world).await;
    let times = |kind: &str| {
        let of_it = found.iter().filter(|(name, _)| name == kind);
        of_it.map(|(_, said)| said["times"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((times(DENIED).len(), times(AGAIN)), (2, vec![json!(2)]), "{found:?}");
}

#[tokio::test]
async fn more_kinds_of_denials_than_are_told_each_are_counted_in_one_record() {
    let world = World::start().await;
    let denials = Denials::new(world.provider.authority.clone());
    for nth in 0..1_050 {
        let subject = caller(&world, &format!("sensor-{nth}"));
        denials.note(&subject, &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    }
    denials.finish().await;
    let found = recorded(&world).await;
    let of = |name: &str| found.iter().filter(|(of, _)| of == name).map(|(_, said)| said).collect::<Vec<_>>();
    let (first, again) = (of(DENIED), of(AGAIN));
    assert_eq!((first.len(), again.len()), (1_001, 1));
    let others: Vec<_> = first.iter().filter(|said| said["reason"] == "others").collect();
    assert!(others.len() == 1 && others[0].get("subject").is_none(), "{others:?}");
    assert_eq!(again[0]["times"], 50);
    // An hour later there is room again.
    world.clock.advance(TimeDelta::hours(1));
    denials.write_due();
    denials.note(&caller(&world, "sensor-1049"), &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    denials.finish().await;
    assert_eq!(recorded(&world).await.last().unwrap().1["subject"], "sensor-1049");
}

#[tokio::test]
async fn attack_117_one_caller_does_not_use_up_the_records_of_the_others() {
    let world = World::start().await;
    let denials = Denials::new(world.provider.authority.clone());
    let eve = caller(&world, "eve");
    for nth in 0..1_500 {
        denials.note(&eve, &seen(), "POST /v1/crm/leads", &missing(&format!("crm:lead:{nth}")));
        // The caller chooses which permissions to grant, so they must not make separate records.
        let gives = Refusal::forbidden("exceeds_own_permissions", "no").with("permissions", vec![format!("x:y:{nth}")]);
        denials.note(&eve, &seen(), "POST /v1/user/roles", &Denied::of(&gives).unwrap());
    }
    denials.note(&caller(&world, "ada"), &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    denials.finish().await;
    let found = recorded(&world).await;
    let first: Vec<_> = found.iter().filter(|(name, _)| name == DENIED).map(|(_, said)| said).collect();
    let of = |subject: &str| first.iter().filter(|said| said["subject"] == subject).count();
    assert_eq!((of("eve"), of("ada"), first.len()), (101, 1, 102));
    let exceeding: Vec<_> = first.iter().filter(|said| said["reason"] == "exceeds_own_permissions").collect();
    assert!(exceeding.len() == 1 && exceeding[0]["permission"] == "x:y:0", "{exceeding:?}");
    let counted = found.iter().filter(|(name, _)| name == AGAIN).map(|(_, said)| said["times"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), 1_500 + 1_401, "each is counted");
}

#[tokio::test]
async fn from_where_a_user_was_denied_something_is_sealed_as_theirs_and_goes_when_they_are_erased() {
    let world = World::start().await;
    let user = world.person("ada@example.com").await;
    let denials = Denials::new(world.provider.authority.clone());
    denials.note(&caller(&world, &user.to_string()), &seen(), "POST /v1/crm/leads", &missing("crm:lead:write"));
    denials.finish().await;
    let (_, said) = &recorded(&world).await[0];
    assert_eq!((&said["user"], said.get("origin")), (&json!(user), None));
    assert!(!said.to_string().contains("192.0.2.7") && !said.to_string().contains("probe"), "{said}");
    let place = async || {
        // Another process: its log has no keys yet, and it hears of erasures by the feed.
        let store = EventStore::open(&world.database, log_settings(), world.clock.clone()).await.unwrap();
        let events = store.read_after(kernel::Position(0), 1_000).await.unwrap();
        let event = events.into_iter().find(|event| event.aggregate_type == Access::TYPE).unwrap();
        // The event is sealed, as it is stored.
        let event = store.opened(vec![event]).await.unwrap().remove(0);
        let Some(AccessEvent::AccessDenied(denied)) = event.decode().unwrap().into_iter().next() else {
            panic!("{event:?}")
        };
        let known = |text: Option<kernel::Personal<String>>| text.and_then(|text| text.known().cloned());
        (known(denied.place.address), known(denied.place.agent))
    };
    assert_eq!(place().await, (Some("192.0.2.7".to_owned()), Some("probe/1".to_owned())));
    world.provider.authority.run(&world.admin(), &EraseAccount { user }).await.unwrap();
    assert_eq!(place().await, (None, None));
}

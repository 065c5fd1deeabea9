//! Snapshots of aggregates: a state that was written and read again evolves like the original, for every aggregate of every domain; and a
//! stored state keeps its meaning as long as its form is the same.

use std::collections::BTreeMap;

use kernel::{AggregateType, EventType, RecordedEvent};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The state of each aggregate after a fixed history, with the form of the state.
const PINNED: &str = include_str!("states.json");

fn aggregates() -> Vec<AggregateType> {
    gateway::domains().into_iter().flat_map(|domain| domain.aggregates).collect()
}

fn event(kind: &EventType, sequence: u64) -> RecordedEvent {
    let example = events_api::catalogue::example(kind.schema.as_value());
    RecordedEvent {
        event_id: Uuid::from_u128(u128::from(sequence)),
        aggregate_type: kind.aggregate_type.to_owned(),
        aggregate_id: Uuid::nil().to_string(),
        event_type: kind.name.to_owned(),
        event_version: kind.version,
        payload: example.to_string().into(),
        ..testbed::event(sequence)
    }
}

/// Random events in any order: a history may contain whatever was stored, and `evolve` must be total.
fn history(kinds: &[EventType], seed: u64, length: u64) -> Vec<RecordedEvent> {
    let mut number = seed;
    let mut next = || {
        // The constants of Knuth's MMIX generator.
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (number >> 33) as usize
    };
    (1..=length).map(|sequence| event(&kinds[next() % kinds.len()], sequence)).collect()
}

#[test]
fn a_snapshot_and_later_events_make_the_state_that_all_events_make() {
    for aggregate in aggregates() {
        let kinds = (aggregate.event_types)();
        for seed in 0..20 {
            let events = history(&kinds, seed, 30);
            let all = (aggregate.state)(&events).unwrap();
            for cut in 0..=events.len() {
                let (before, after) = events.split_at(cut);
                // The state as it is stored.
                let snapshot = (aggregate.state)(before).unwrap().to_string();
                let resumed = (aggregate.resume)(serde_json::from_str(&snapshot).unwrap(), after).unwrap();
                assert_eq!(resumed, all, "{} after {cut} of history {seed}", aggregate.name);
            }
        }
    }
}

#[test]
fn a_state_that_changes_is_of_another_form() {
    let pinned: BTreeMap<String, Value> = serde_json::from_str(PINNED).unwrap();
    let found: BTreeMap<String, Value> = aggregates()
        .into_iter()
        .map(|aggregate| {
            let kinds = (aggregate.event_types)();
            let current = || kinds.iter().filter(|kind| !kind.retired);
            let events: Vec<_> = (1..).zip(current().chain(current())).map(|(nth, kind)| event(kind, nth)).collect();
            let state = sorted((aggregate.state)(&events).unwrap()).to_string();
            let hash = hex::encode(&Sha256::digest(state)[..8]);
            (aggregate.name.to_owned(), json!({ "form": aggregate.form, "state": hash }))
        })
        .collect();
    for (name, found) in &found {
        let Some(pinned) = pinned.get(name) else { continue };
        assert!(
            found == pinned || found["form"].as_u64() > pinned["form"].as_u64(),
            "the state of {name} is not what it was after the same events: stored snapshots would be read as if it were. Raise \
             its FORM (kernel::Aggregate)"
        );
    }
    let expected = serde_json::to_string_pretty(&found).unwrap();
    assert_eq!(found, pinned, "write this to api/gateway/tests/gateway/states.json:\n{expected}");
}

/// The same value with sorted members, so that maps without an order compare equal.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other => other,
    }
}

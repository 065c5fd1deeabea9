//! Events that the receiver refuses: parked in order while other events continue, retried, and decided about by people.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadletters::{
    Backoff, Consumer, DeadLetters, Entry, Kind, Letter, LetterId, Listing, Outcome, Settled, Share, State,
};
use eventstore::{Append, CommandRecord, NewEvent, StreamAppend};
use kernel::{AggregateType, Caller, Grant, IdSource, Position, Role, SystemClock, SystemIds};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};
use testbed::eventually;
use testbed::receiver::{Receiver, Reply};
use uuid::Uuid;
use webhooks::EndpointCommand;

use crate::world::{World, quick};

const GRANTS: &[Grant] = &[
    Grant { permission: "demo:dead_letter:read", roles: &[Role::Admin], meaning: "" },
    Grant { permission: "demo:dead_letter:write", roles: &[Role::Admin], meaning: "" },
];

fn dead_letters(world: &World) -> DeadLetters {
    let (store, bus) = (world.store.clone(), Some(world.bus.clone()));
    DeadLetters::open(&world.database, store, bus, vec![LAMP], Vec::new(), GRANTS).unwrap()
}

/// The lamps in the payloads.
const LAMP: AggregateType = AggregateType {
    name: "demo.lamp",
    event_types: Vec::new,
    decode: |_, _, _| Ok(1),
    current_events: |_, _, payload| Ok(vec![serde_json::from_slice(payload).unwrap()]),
    state: |_| Ok(serde_json::Value::Null),
    resume: |state, _| Ok(state),
    form: 1,
    sealed: false,
};

fn request(world: &World) -> deadletters::Request {
    let caller = Caller::new(world.tenant, "ada", &[Role::Admin], GRANTS);
    deadletters::Request { caller, command_id: None, request_hash: [0; 32] }
}

async fn parked(world: &World) -> Vec<Letter> {
    let listing = Listing { consumer: None, state: State::Parked, after: None, limit: 10 };
    dead_letters(world).list(&request(world).caller, &listing).await.unwrap()
}

/// Appends events of one lamp, with these values of `n`.
async fn append(world: &World, lamp: &str, numbers: &[u32]) -> u64 {
    let expected = world.store.load(world.tenant, "demo.lamp", lamp, 0).await.unwrap().len() as u64;
    let event = |n: &u32| NewEvent {
        event_id: SystemIds.next(),
        event_type: "demo.lamp.lit",
        event_version: 1,
        payload: format!(r#"{{"event":"demo.lamp.lit","n":{n}}}"#),
        metadata: r#"{"actor":"ada"}"#.into(),
        occurred_at: kernel::Clock::now(&SystemClock),
    };
    let events = numbers.iter().map(event).collect();
    let streams = vec![StreamAppend { aggregate_type: "demo.lamp", aggregate_id: lamp.to_owned(), expected, events }];
    let command = CommandRecord { id: SystemIds.next().to_string(), request_hash: [0; 32], answer: "{}".to_owned() };
    world.store.append(Append { tenant: world.tenant, command, streams, claims: Vec::new() }).await.unwrap().last.0
}

/// A receiver that refuses events whose `n` is 13, until it is told to accept them.
async fn superstitious() -> (Receiver, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let takes = mended.clone();
    let receiver = Receiver::answering(move |message, _| match message.json()["data"]["n"].as_u64() {
        Some(13) if !takes.load(Ordering::SeqCst) => Reply::Status("422 Unprocessable Content"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    (receiver, mended)
}

/// The accepted events, in order: positions, each once.
fn taken(receiver: &Receiver, refused: u64) -> Vec<u64> {
    let mut taken = receiver.positions();
    let last = taken.iter().rposition(|position| *position == refused);
    let mut at = 0;
    taken.retain(|position| {
        at += 1;
        *position != refused || Some(at - 1) == last
    });
    taken
}

fn id(endpoint: Uuid, position: u64) -> LetterId {
    format!("webhook.{endpoint}.{position}").parse().unwrap()
}

#[tokio::test]
async fn a_refused_event_waits_with_the_later_ones_of_its_aggregate_and_the_others_go_on() {
    let world = World::start().await;
    let (receiver, mended) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let before = append(&world, "bad", &[1]).await;
    let refused = append(&world, "bad", &[13]).await;
    append(&world, "bad", &[14, 15]).await;
    let good = append(&world, "good", &[1, 2]).await;
    eventually("the endpoint goes on", async || (world.find(endpoint.id).await.position.0 == good).then_some(())).await;
    let got = receiver.positions();
    assert!(got.contains(&(good - 1)) && got.contains(&good), "the others arrive: {got:?}");
    let [letter] = &parked(&world).await[..] else { panic!("not one is parked") };
    assert_eq!((&letter.id, letter.waiting), (&id(endpoint.id, refused), 2));
    assert!(letter.errors[0].contains("422"), "{letter:?}");
    assert!(!receiver.positions().contains(&(refused + 1)), "what waits behind it was sent");
    // Later events of the aggregate wait, too.
    append(&world, "bad", &[16]).await;
    eventually("it waits", async || (parked(&world).await[0].waiting == 3).then_some(())).await;

    mended.store(true, Ordering::SeqCst);
    eventually("nothing is parked any more", async || parked(&world).await.is_empty().then_some(())).await;
    let expected = [before, good - 1, good, refused, refused + 1, refused + 2, good + 1];
    assert_eq!(taken(&receiver, refused), expected, "lost, doubled or out of order");
    let letter = dead_letters(&world).find(&request(&world).caller, &id(endpoint.id, refused)).await.unwrap().letter;
    assert_eq!(letter.state, State::Applied);
}

#[tokio::test]
async fn a_discarded_event_is_not_delivered_and_an_edited_one_with_its_new_payload() {
    let world = World::start().await;
    let (receiver, _) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let first = append(&world, "one", &[13, 1]).await - 1;
    let second = append(&world, "two", &[13, 2]).await - 1;
    eventually("both are parked", async || (parked(&world).await.len() == 2).then_some(())).await;
    let (dead_letters, ours) = (dead_letters(&world), request(&world));
    dead_letters.discard(&ours, &id(endpoint.id, first), "unlucky").await.unwrap();
    let nameless = dead_letters.edit(&ours, &id(endpoint.id, second), &json!({ "n": 12 }), "lucky").await;
    assert_eq!(nameless.unwrap_err().code(), "validation_failed", "a payload names its event");
    let payload = json!({ "event": "demo.lamp.lit", "n": 12 });
    dead_letters.edit(&ours, &id(endpoint.id, second), &payload, "lucky").await.unwrap();
    eventually("what waited arrives", async || {
        let got = receiver.positions();
        (got.contains(&(first + 1)) && got.contains(&(second + 1))).then_some(())
    })
    .await;
    eventually("nothing is parked any more", async || parked(&world).await.is_empty().then_some(())).await;
    assert_eq!(dead_letters.find(&ours.caller, &id(endpoint.id, first)).await.unwrap().letter.state, State::Discarded);
    let got = receiver.got();
    assert!(got.iter().filter(|one| one.position() == first).all(|one| one.json()["data"]["n"] == 13));
    let tries: Vec<_> = got.iter().filter(|one| one.position() == second).collect();
    assert_eq!(tries.last().unwrap().json()["data"], payload);
    assert!(tries.iter().all(|one| one.id() == tries[0].id()), "under the id that it always had");
}

#[tokio::test]
async fn a_letter_whose_event_the_log_has_no_more_stays_and_says_so() {
    let world = World::start().await;
    let (receiver, mended) = superstitious().await;
    world.endpoint(&receiver.url).await;
    append(&world, "bad", &[13]).await;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    // As if the log had been set back to a point before the event.
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    superuser.execute("UPDATE dead.letters SET position = position + 1000").await.unwrap();
    mended.store(true, Ordering::SeqCst);
    let errors = "SELECT errors FROM dead.letters WHERE state = 'parked'";
    eventually("it was tried", async || {
        let mut looking = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
        let errors: Vec<String> = sqlx::query_scalar(errors).fetch_one(&mut looking).await.unwrap();
        (errors == ["the log has no event there"]).then_some(())
    })
    .await;
}

/// A receiver that refuses lamps whose `n` is 13, and asks for a pause of an hour after each that has no `n`.
async fn superstitious_and_tired() -> (Receiver, Arc<AtomicBool>) {
    let mended = Arc::new(AtomicBool::new(false));
    let takes = mended.clone();
    let receiver = Receiver::answering(move |message, _| match message.json()["data"]["n"].as_u64() {
        Some(0) => Reply::Status("503 Service Unavailable\r\nretry-after: 3600"),
        Some(13) if !takes.load(Ordering::SeqCst) => Reply::Status("422 Unprocessable Content"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    (receiver, mended)
}

#[tokio::test]
async fn what_is_decided_is_heeded_at_once_while_a_later_event_waits_for_its_attempt() {
    // The polling interval is longer than the test.
    let long = Duration::from_hours(1);
    let backoff = Backoff { longest: long, ..quick().backoff };
    let settings = webhooks::Settings { backoff, poll_interval: long, ..quick() };
    let world = World::with(settings).await;
    let (receiver, mended) = superstitious_and_tired().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let first = append(&world, "one", &[13, 1, 2]).await - 2;
    let second = append(&world, "two", &[13, 3]).await - 1;
    let third = append(&world, "three", &[13]).await;
    append(&world, "tired", &[0]).await;
    eventually("the endpoint waits", async || {
        let endpoint = world.find(endpoint.id).await;
        ((endpoint.position.0, endpoint.attempts) == (third, 1)).then_some(())
    })
    .await;
    assert_eq!(parked(&world).await.len(), 3);
    let before = receiver.got().len();

    let (dead_letters, ours) = (dead_letters(&world), request(&world));
    dead_letters.discard(&ours, &id(endpoint.id, second), "unlucky").await.unwrap();
    eventually("what waited behind it arrives", async || receiver.positions().contains(&(second + 1)).then_some(()))
        .await;
    eventually("it is parked no more", async || (parked(&world).await.len() == 2).then_some(())).await;
    mended.store(true, Ordering::SeqCst);
    dead_letters.redrive(&ours, &id(endpoint.id, first), "mended").await.unwrap();
    eventually("one is left", async || (parked(&world).await.len() == 1).then_some(())).await;
    // Only what was decided about is sent: neither events behind it, nor other parked events.
    assert_eq!(receiver.positions()[before..], [second + 1, first, first + 1, first + 2]);
    assert_eq!(parked(&world).await[0].id, id(endpoint.id, third));
    let waits = world.find(endpoint.id).await;
    assert_eq!((waits.attempts, waits.position.0), (1, third));
}

#[tokio::test]
async fn what_is_parked_is_tried_again_when_it_is_due_though_nothing_else_happens() {
    // Nobody looks by himself for longer than the test.
    let settings = webhooks::Settings { park_after: 1, poll_interval: Duration::from_hours(1), ..quick() };
    let world = World::with(settings).await;
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Status("422 Unprocessable Content"),
        _ => Reply::Status("200 OK"),
    })
    .await;
    world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[1]).await;
    eventually("it is sent again", async || (receiver.positions() == [refused, refused]).then_some(())).await;
    eventually("it is parked no more", async || parked(&world).await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_is_decided_while_it_is_sent_is_heeded_when_that_failed() {
    let long = Duration::from_hours(1);
    let settings = webhooks::Settings {
        park_after: 1,
        backoff: Backoff { first: long, longest: long },
        timeout: Duration::from_secs(2),
        ..quick()
    };
    let world = World::with(settings).await;
    // The receiver does not answer the retry: meanwhile somebody discards the event.
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::Status("422 Unprocessable Content"),
        _ => Reply::Silence,
    })
    .await;
    let endpoint = world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[1]).await;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    let (dead_letters, ours) = (dead_letters(&world), request(&world));
    dead_letters.redrive(&ours, &id(endpoint.id, refused), "again").await.unwrap();
    eventually("it is sent again", async || (receiver.got().len() == 2).then_some(())).await;
    dead_letters.discard(&ours, &id(endpoint.id, refused), "never mind").await.unwrap();
    // As if the database's clock had been set back before.
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let earlier = "UPDATE dead.letters SET changed_at = changed_at - interval '1 day';
                   UPDATE dead.decisions SET decided_at = decided_at - interval '1 day'";
    superuser.execute(earlier).await.unwrap();
    eventually("nothing is parked any more", async || parked(&world).await.is_empty().then_some(())).await;
    let letter = dead_letters.find(&ours.caller, &id(endpoint.id, refused)).await.unwrap().letter;
    assert_eq!((letter.state, receiver.got().len()), (State::Discarded, 2));
}

#[tokio::test]
async fn who_refuses_everything_is_disabled_and_keeps_no_more_attempts_than_it_should() {
    let settings = webhooks::Settings { most_parked: 3, kept: 2, ..quick() };
    let world = World::with(settings).await;
    let mended = Arc::new(AtomicBool::new(false));
    let takes = mended.clone();
    let receiver = Receiver::answering(move |_, _| {
        Reply::Status(if takes.load(Ordering::SeqCst) { "200 OK" } else { "415 Unsupported Media Type" })
    })
    .await;
    let endpoint = world.endpoint(&receiver.url).await;
    let attempts = async || world.webhooks.deliveries(world.tenant, endpoint.id, None, 100).await.unwrap().len();
    for lamp in ["one", "two", "three", "four"] {
        append(&world, lamp, &[1]).await;
    }
    let disabled = eventually("it is disabled", async || {
        let endpoint = world.find(endpoint.id).await;
        matches!(endpoint.state, webhooks::State::Disabled { .. }).then_some(endpoint)
    })
    .await;
    let reason = "it refused events of 3 aggregates, which are parked";
    assert!(matches!(&disabled.state, webhooks::State::Disabled { reason: said } if said == reason), "{disabled:?}");
    assert_eq!(parked(&world).await.len(), 3);
    assert_eq!(disabled.position, Position(3), "the fourth waits until somebody enables it");
    assert!(attempts().await >= 15, "five for each that was parked");
    // A new worker deletes the old deliveries that its predecessor left.
    mended.store(true, Ordering::SeqCst);
    world.act(EndpointCommand::Enable { id: endpoint.id }).await;
    eventually("all of them arrive", async || (world.find(endpoint.id).await.delivered == 4).then_some(())).await;
    assert!(attempts().await <= 6, "two of those before, four since");
}

#[tokio::test]
async fn who_is_set_back_or_removed_has_nothing_parked_any_more() {
    let world = World::start().await;
    let (receiver, mended) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[13, 1]).await - 1;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    mended.store(true, Ordering::SeqCst);
    world.act(EndpointCommand::Replay { id: endpoint.id, after: Position::START }).await;
    eventually("everything comes again, in order", async || {
        receiver.positions().ends_with(&[refused, refused + 1]).then_some(())
    })
    .await;
    assert_eq!(parked(&world).await, []);
    mended.store(false, Ordering::SeqCst);
    let refused = append(&world, "bad", &[13]).await;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    world.act(EndpointCommand::Remove { id: endpoint.id }).await;
    assert_eq!(parked(&world).await, []);
    let gone = dead_letters(&world).discard(&request(&world), &id(endpoint.id, refused), "no").await;
    assert_eq!(gone.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn what_is_parked_before_the_position_of_a_replay_stays_parked() {
    let world = World::start().await;
    let (receiver, mended) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[13, 14]).await - 1;
    let good = append(&world, "good", &[1]).await;
    let arrived = |times| (receiver.positions().iter().filter(|at| **at == good).count() == times).then_some(());
    eventually("the others arrive", async || arrived(1)).await;
    world.act(EndpointCommand::Replay { id: endpoint.id, after: Position(refused) }).await;
    eventually("they arrive again", async || arrived(2)).await;
    let [letter] = &parked(&world).await[..] else { panic!("not one is parked") };
    assert_eq!((&letter.id, letter.waiting), (&id(endpoint.id, refused), 1), "it is delivered by nobody");
    mended.store(true, Ordering::SeqCst);
    eventually("nothing is parked any more", async || parked(&world).await.is_empty().then_some(())).await;
    assert_eq!(taken(&receiver, refused), [good, good, refused, refused + 1]);
}

#[tokio::test]
async fn nothing_waits_behind_a_letter_that_another_deliverer_settled() {
    let world = World::start().await;
    let (receiver, _) = superstitious().await;
    world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[13]).await;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    let superuser = world.database.superuser();
    let settled = "UPDATE dead.letters SET state = 'applied', next_attempt_at = NULL WHERE state = 'parked'";
    eventually("a later event of the aggregate arrives", async || {
        // As a former active deliverer, whose request was still under way, would do.
        PgConnection::connect_with(&superuser).await.unwrap().execute(settled).await.unwrap();
        append(&world, "bad", &[1]).await;
        receiver.positions().iter().any(|at| *at > refused).then_some(())
    })
    .await;
}

#[tokio::test]
async fn of_two_who_settle_a_letter_the_second_changes_nothing() {
    let world = World::idle(quick()).await;
    append(&world, "bad", &[13, 14, 15]).await;
    let events = world.store.load(world.tenant, "demo.lamp", "bad", 0).await.unwrap();
    let why = |nth| (nth == 0).then(|| vec!["no".to_owned()]);
    let entries: Vec<_> = events.iter().enumerate().map(|(nth, event)| Entry::new(event, why(nth))).collect();
    let (consumer, backoff) =
        (Consumer::new(Kind::Webhook, "test"), Backoff { first: Duration::ZERO, longest: Duration::ZERO });
    let mut tables = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    deadletters::park(&mut tables, &consumer, &entries, backoff).await.unwrap();
    let taken = deadletters::take(&mut tables, &consumer, Share::WHOLE, 1).await.unwrap().unwrap();
    let failed = Outcome { failed: Some((entries[0].position, vec!["no".to_owned()])) };
    let mut settled = Vec::new();
    // Delivered; and results of other deliverers that had taken it, too: delivered again, and refused.
    for outcome in [Outcome::default(), Outcome::default(), failed] {
        settled.push(deadletters::settle(&mut tables, &consumer, &taken, outcome, backoff).await.unwrap());
    }
    let nothing = Settled { events: 0, drained: false };
    assert_eq!(settled, [Settled { events: 1, drained: false }, nothing, nothing]);
    let states: Vec<String> =
        sqlx::query_scalar("SELECT state FROM dead.letters ORDER BY position").fetch_all(&mut tables).await.unwrap();
    assert_eq!(states, ["applied", "parked", "waiting"], "the next one stands for the rest");
}

#[tokio::test]
async fn fault_a_deliverer_that_ends_between_parking_and_sending_again_loses_nothing() {
    let world = World::start().await;
    let (receiver, mended) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[13, 1, 2]).await - 2;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    world.halt().await;
    mended.store(true, Ordering::SeqCst);
    let world = world.again();
    // Later events were parked behind it, or are sent as they come. In both cases the order is kept.
    eventually("all are taken", async || (taken(&receiver, refused).len() == 3).then_some(())).await;
    assert_eq!(taken(&receiver, refused), [refused, refused + 1, refused + 2]);
    eventually("nothing is parked any more", async || parked(&world).await.is_empty().then_some(())).await;
    assert_eq!(world.find(endpoint.id).await.position.0, refused + 2);
}

#[tokio::test]
async fn an_event_is_parked_after_five_refusals_in_a_row_whatever_failed_before() {
    let world = World::start().await;
    // Never five in a row: four after other failures, and four after another one in between.
    let receiver = Receiver::answering(|_, before| {
        Reply::Status(match before {
            0..4 | 8 => "503 Service Unavailable",
            4..8 | 9..13 => "400 Bad Request",
            _ => "200 OK",
        })
    })
    .await;
    let endpoint = world.endpoint(&receiver.url).await;
    append(&world, "patient", &[1]).await;
    eventually("it arrives", async || (world.find(endpoint.id).await.delivered == 1).then_some(())).await;
    let ever = |state| Listing { consumer: None, state, after: None, limit: 10 };
    for state in [State::Parked, State::Applied] {
        let letters = dead_letters(&world).list(&request(&world).caller, &ever(state)).await.unwrap();
        assert_eq!(letters, [], "it was parked");
    }
    assert_eq!(receiver.got().len(), 14);
}

#[tokio::test]
async fn refusals_before_and_after_a_restart_are_in_one_row() {
    let pause = Duration::from_millis(200);
    let settings = webhooks::Settings { backoff: Backoff { first: pause, longest: pause }, ..quick() };
    let world = World::with(settings).await;
    let receiver = Receiver::answering(|_, _| Reply::Status("422 Unprocessable Content")).await;
    let endpoint = world.endpoint(&receiver.url).await;
    let attempts = async |world: &World| {
        let deliveries = world.webhooks.deliveries(world.tenant, endpoint.id, None, 100).await.unwrap();
        deliveries.into_iter().rev().map(|one| one.attempt).collect::<Vec<_>>()
    };
    append(&world, "bad", &[1]).await;
    eventually("it was refused", async || (!attempts(&world).await.is_empty()).then_some(())).await;
    world.halt().await;
    let world = world.again();
    eventually("it is parked and was sent again", async || (attempts(&world).await.len() >= 6).then_some(())).await;
    let first = attempts(&world).await;
    assert_eq!(first[..6], [1, 2, 3, 4, 5, 2], "the sixth is the second of a parked event");
}

#[tokio::test]
async fn what_is_decided_while_a_tenant_moves_is_refused_as_its_commands_are() {
    let world = World::start().await;
    let (receiver, _) = superstitious().await;
    let endpoint = world.endpoint(&receiver.url).await;
    let refused = append(&world, "bad", &[13]).await;
    eventually("it is parked", async || (parked(&world).await.len() == 1).then_some(())).await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    world.begin_move().await;
    let (ours, letter) = (request(&world), id(endpoint.id, refused));
    let dead_letters = dead_letters(&world);
    for decided in
        [dead_letters.redrive(&ours, &letter, "again").await, dead_letters.discard(&ours, &letter, "no").await]
    {
        assert_eq!(decided.unwrap_err().code(), "tenant_moving");
    }
    let decisions: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead.decisions").fetch_one(&mut superuser).await.unwrap();
    assert_eq!((decisions, world.store.head().await.unwrap().0), (0, refused));
}

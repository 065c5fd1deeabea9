//! Operators' decisions about dead letters: they are applied once, recorded with actor and reason, and refused where nothing is parked.

use deadletters::moved::Verdicts;
use deadletters::{DeadLetters, DecisionKind, LetterId, Listing, Request, Restricted, State};
use kernel::{Position, Role, TenantId};
use projector::ProjectionState;
use serde_json::json;

use crate::lamps::Lamps;
use crate::parking::{parked, state};
use crate::road::{Road, Running, request};

fn id(position: Position) -> LetterId {
    format!("projection.lamps.{position}").parse().unwrap()
}

fn admin(tenant: TenantId) -> Request {
    request(tenant, Role::Admin, None)
}

/// A poison event with another one parked behind it, and a running projector with a long retry backoff.
async fn world() -> (Road, Running, Position, Position) {
    let road = Road::new(Lamps::new()).await;
    let broken = road.append(0, "bad", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    let after = road.append(0, "bad", "demo.lamp.dimmed", "{}").await;
    let running = road.start();
    road.visible(&running.models).await;
    (road, running, broken, after)
}

/// The number of decisions and the parked events, to check that nothing was written.
async fn written(road: &Road) -> (i64, Vec<(Position, bool)>) {
    let decisions = sqlx::query_scalar("SELECT count(*) FROM dead.decisions");
    (decisions.fetch_one(&mut road.superuser().await).await.unwrap(), parked(road).await)
}

async fn rebuilt(road: &Road) {
    let database = &road.database;
    let before = road.rows().await;
    let rebuilt = projector::rebuild(&database.admin(), database, &road.store, &Lamps::new(), |_| {}).await.unwrap();
    assert_eq!(rebuilt.parked_events, 0);
    assert_eq!(road.rows().await, before, "a rebuild gives other rows than live");
}

#[tokio::test]
async fn a_discarded_event_is_never_applied_and_what_waited_behind_it_is_also_after_a_rebuild() {
    let (road, running, broken, after) = world().await;
    let (dead_letters, ours) = (road.dead_letters(), admin(road.tenants[0]));
    dead_letters.discard(&ours, &id(broken), "of a test of long ago").await.unwrap();
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    assert_eq!(road.rows().await, road.expected(&[broken]).await);
    assert_eq!(state(&running.models).await, (ProjectionState::Live, 0, 0));
    let shown = dead_letters.find(&ours.caller, &id(broken)).await.unwrap();
    assert_eq!((shown.letter.state, &*shown.event.payload), (State::Discarded, &br#"{"broken":"poison"}"#[..]));
    let [decided] = &shown.decisions[..] else { panic!("{shown:?}") };
    let said = (decided.kind, decided.actor.as_str(), decided.reason.as_str());
    assert_eq!(said, (DecisionKind::Discard, "ada", "of a test of long ago"));

    let before = written(&road).await;
    let again = dead_letters.discard(&ours, &id(broken), "again").await.unwrap_err();
    assert_eq!((again.kind(), again.code()), (kernel::Kind::Conflict, "dead_letter_over"));
    let never = dead_letters.discard(&ours, &id(after), "never parked now").await.unwrap_err();
    assert_eq!(never.code(), "not_found");
    assert_eq!(written(&road).await, before);
    rebuilt(&road).await;
    running.stop().await;
}

#[tokio::test]
async fn an_edit_is_seen_by_the_projection_alone_and_by_a_rebuild_of_it() {
    let (road, running, broken, _) = world().await;
    let (dead_letters, ours) = (road.dead_letters(), admin(road.tenants[0]));
    let before = written(&road).await;
    let rows = road.rows().await;

    // A preview with the stored payload fails; with another payload the event and the one behind it succeed. Previews and
    // refused edits change nothing.
    let preview = dead_letters.preview(&ours.caller, &id(broken), None).await.unwrap();
    assert_eq!(preview.why_not(), Some(vec!["it is poison".to_owned()]));
    let mended = json!({ "broken": "no more" });
    let preview = dead_letters.preview(&ours.caller, &id(broken), Some(&mended)).await.unwrap();
    assert_eq!((preview.why_not(), preview.dry_run.unwrap().taken), (None, 2));
    let fails = dead_letters.edit(&ours, &id(broken), &json!({ "broken": "sql" }), "a try").await.unwrap_err();
    assert_eq!((fails.kind(), fails.code()), (kernel::Kind::Unprocessable, "dead_letter_edit_fails"));
    assert!(fails.extra()["reasons"].to_string().contains("SQLSTATE 23514"), "{fails:?}");
    for (payload, code) in [(json!([]), "/payload"), (json!({ "event": "demo.lamp.dimmed" }), "/payload/event")] {
        let refused = dead_letters.edit(&ours, &id(broken), &payload, "a try").await.unwrap_err();
        assert_eq!((refused.code(), refused.errors()[0].pointer.as_str()), ("validation_failed", code));
    }
    assert_eq!((written(&road).await, road.rows().await), (before, rows), "something was written");

    dead_letters.edit(&ours, &id(broken), &mended, "misspelt").await.unwrap();
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    assert_eq!(road.rows().await, road.expected(&[]).await);
    let shown = dead_letters.find(&ours.caller, &id(broken)).await.unwrap();
    assert_eq!((shown.letter.state, &*shown.event.payload), (State::Applied, &br#"{"broken":"poison"}"#[..]));
    let audit = &shown.decisions[0];
    assert_eq!((audit.kind, audit.actor.as_str(), audit.reason.as_str()), (DecisionKind::Edit, "ada", "misspelt"));
    assert_eq!(audit.before.as_deref(), Some(r#"{"broken":"poison"}"#));
    assert_eq!(audit.after.as_deref(), Some(r#"{"broken":"no more"}"#));
    rebuilt(&road).await;
    running.stop().await;
}

#[tokio::test]
async fn attack_160_a_preview_shows_nothing_to_who_may_only_decide_about_dead_letters() {
    let (road, running, broken, _) = world().await;
    let (dead_letters, editor) = (road.dead_letters(), request(road.tenants[0], Role::Manager, None));
    let before = written(&road).await;
    for payload in [None, Some(json!({ "broken": "no more" }))] {
        let refused = dead_letters.preview(&editor.caller, &id(broken), payload.as_ref()).await.unwrap_err();
        assert_eq!(
            (refused.code(), &refused.extra()["permission"]),
            ("permission_missing", &json!("demo:dead_letter:read"))
        );
    }
    assert_eq!(written(&road).await, before);
    running.stop().await;
}

/// A letter is neither edited nor discarded by somebody who lacks a permission of administrators, and nothing is written.
async fn refuses_changes(road: &Road, dead_letters: &DeadLetters, decider: &Request, letter: &LetterId) {
    let written = async || (road.store.head().await.unwrap(), written(road).await, road.rows().await);
    let before = written().await;
    for refused in [
        dead_letters.edit(decider, letter, &json!({ "broken": "no more" }), "no").await.map(drop),
        dead_letters.discard(decider, letter, "no").await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (kernel::Kind::Forbidden, "exceeds_own_permissions"));
        assert_eq!(refused.extra()["permissions"], json!(["demo:dead_letter:read"]));
    }
    assert_eq!(written().await, before, "something was written");
}

#[tokio::test]
async fn attack_172_who_may_only_decide_about_dead_letters_changes_nothing_where_that_changes_who_may_do_what() {
    let (road, running, broken, _) = world().await;
    let of_administrators = ["demo:dead_letter:read", "demo:dead_letter:write"];
    let dead_letters = road.dead_letters().restrict_changes_to(of_administrators, Restricted::All);
    let (decider, ours) = (request(road.tenants[0], Role::Manager, None), admin(road.tenants[0]));
    let (letter, mended) = (id(broken), json!({ "broken": "no more" }));
    refuses_changes(&road, &dead_letters, &decider, &letter).await;

    // Where nobody's access depends on it, they may; and to retry changes nothing anywhere.
    dead_letters.redrive(&decider, &letter, "a try").await.unwrap();
    dead_letters.redrive_all(&decider, None, "a try").await.unwrap();
    dead_letters.edit(&ours, &letter, &mended, "misspelt").await.unwrap();
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    let second = road.append(0, "worse", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    testbed::eventually("it is parked", async || (parked(&road).await.len() == 1).then_some(())).await;
    road.dead_letters().discard(&decider, &id(second), "a test").await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn attack_173_who_may_only_decide_about_dead_letters_keeps_nobody_who_was_erased() {
    let (road, running, broken, _) = world().await;
    road.append(0, "gone", "demo.lamp.lit", "{}").await;
    let erased = road.append(0, "gone", "demo.lamp.erased", r#"{"broken":"poison"}"#).await;
    road.visible(&running.models).await;
    let of_administrators = ["demo:dead_letter:read", "demo:dead_letter:write"];
    let dead_letters = road.dead_letters().restrict_changes_to(of_administrators, Restricted::Erasures);
    let (decider, ours) = (request(road.tenants[0], Role::Manager, None), admin(road.tenants[0]));
    let (letter, mended) = (id(erased), json!({ "broken": "no more" }));
    refuses_changes(&road, &dead_letters, &decider, &letter).await;

    // To retry an erasure changes nothing, and about events that erase nobody they decide.
    dead_letters.redrive(&decider, &letter, "a try").await.unwrap();
    dead_letters.discard(&decider, &id(broken), "a test").await.unwrap();
    dead_letters.edit(&ours, &letter, &mended, "misspelt").await.unwrap();
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    running.stop().await;
}

#[tokio::test]
async fn what_is_decided_while_the_tables_are_built_anew_holds_in_these() {
    let (road, running, broken, _) = world().await;
    running.stop().await;
    // A newer program can apply the event; while it rebuilds, an operator discards the event.
    let lenient = Lamps { lenient: true, ..Lamps::gated() };
    let dead_letters = road.dead_letters();
    let admin_options = road.database.admin();
    let built = projector::rebuild(&admin_options, &road.database, &road.store, &lenient, |_| {});
    let (built, ()) = tokio::join!(built, async {
        testbed::eventually("it builds", async || (lenient.waiting() == 1).then_some(())).await;
        dead_letters.discard(&admin(road.tenants[0]), &id(broken), "never happened").await.unwrap();
        lenient.open();
    });
    assert_eq!(built.unwrap().parked_events, 0);
    assert_eq!(parked(&road).await, []);
    assert_eq!(road.rows().await, road.expected(&[broken]).await);
}

#[tokio::test]
async fn a_rebuild_waits_for_whoever_decides_about_a_letter_and_nobody_who_reads_waits_with_it() {
    let (road, running, broken, after) = world().await;
    running.stop().await;
    let mut decides = road.superuser().await;
    sqlx::raw_sql("BEGIN; SELECT FROM dead.letters FOR UPDATE").execute(&mut decides).await.unwrap();
    let (options, mut looks) = (road.database.admin(), road.superuser().await);
    let lamps = Lamps::new();
    let rebuilding = projector::rebuild(&options, &road.database, &road.store, &lamps, |_| {});
    let deciding = async {
        let looks = tokio::sync::Mutex::new(&mut looks);
        // Longer than one attempt to lock the tables.
        let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '500 ms')";
        testbed::eventually("it waits for the letter", async || {
            let waits: bool = sqlx::query_scalar(waits).fetch_one(&mut **looks.lock().await).await.unwrap();
            waits.then_some(())
        })
        .await;
        road.rows().await;
        sqlx::raw_sql("ROLLBACK").execute(&mut decides).await.unwrap();
    };
    let (rebuilt, ()) = tokio::join!(rebuilding, deciding);
    assert_eq!(rebuilt.unwrap().parked_events, 2);
    assert_eq!(road.rows().await, road.expected(&[broken, after]).await);
}

#[tokio::test]
async fn redriven_by_several_at_once_each_event_is_applied_once() {
    let road = Road::new(Lamps::new()).await;
    let mut broken = Vec::new();
    for lamp in 0..10 {
        let lamp = format!("bad {lamp}");
        broken.push(road.append(0, &lamp, "demo.lamp.lit", r#"{"broken":"poison"}"#).await);
        road.append(0, &lamp, "demo.lamp.dimmed", "{}").await;
    }
    let theirs = road.append(1, "bad", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    let running = road.start();
    road.visible(&running.models).await;
    running.stop().await;

    // No projector is running now. The next one, which can apply the events, finds the decisions.
    let (dead_letters, ours) = (road.dead_letters(), admin(road.tenants[0]));
    let (lamps, one) = ("projection.lamps".parse().unwrap(), id(broken[0]));
    let (first, second, third) = tokio::join!(
        dead_letters.redrive_all(&ours, None, "mended"),
        dead_letters.redrive_all(&ours, Some(&lamps), "mended"),
        dead_letters.redrive(&ours, &one, "mended")
    );
    assert_eq!((first.unwrap().letters, second.unwrap().letters, third.unwrap().letters), (10, 10, 1));
    let of = |tenant| {
        let query = "SELECT count(*) FROM dead.decisions WHERE tenant_id = $1";
        sqlx::query_scalar::<_, i64>(query).bind::<uuid::Uuid>(tenant)
    };
    let mut superuser = road.superuser().await;
    assert_eq!(of(road.tenants[0].uuid()).fetch_one(&mut superuser).await.unwrap(), 21);
    assert_eq!(of(road.tenants[1].uuid()).fetch_one(&mut superuser).await.unwrap(), 0, "another tenant's letter");
    let mut mended = Lamps::new();
    mended.lenient = true;
    let running = road.start_eager(&mended);
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    assert_eq!(road.rows().await, road.expected(&[]).await);
    let shown = dead_letters.find(&ours.caller, &id(broken[0])).await.unwrap();
    assert_eq!((shown.letter.state, shown.letter.attempts, shown.attempts.len()), (State::Applied, 2, 2), "{shown:?}");
    assert_eq!(
        dead_letters.find(&admin(road.tenants[1]).caller, &id(theirs)).await.unwrap().letter.state,
        State::Applied
    );
    running.stop().await;
}

#[tokio::test]
async fn the_same_request_is_carried_out_once() {
    let (road, running, broken, _) = world().await;
    let (dead_letters, tenant) = (road.dead_letters(), road.tenants[0]);
    let keyed = request(tenant, Role::Admin, Some("k"));
    let first = dead_letters.discard(&keyed, &id(broken), "why").await.unwrap();
    let again = dead_letters.discard(&keyed, &id(broken), "why").await.unwrap();
    assert_eq!((first.repeated, again.repeated), (false, true));
    let mut other = keyed.clone();
    other.request_hash = [9; 32];
    let refused = dead_letters.redrive(&other, &id(broken), "").await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (kernel::Kind::Unprocessable, "idempotency_key_reused"));
    assert_eq!(written(&road).await.0, 1);
    running.stop().await;
}

#[tokio::test]
async fn what_is_not_parked_or_not_ones_own_is_refused_and_nothing_is_written() {
    let (road, running, broken, after) = world().await;
    let (dead_letters, ours, theirs) = (road.dead_letters(), admin(road.tenants[0]), admin(road.tenants[1]));
    let auditor = request(road.tenants[0], Role::Auditor, None);
    let before = written(&road).await;
    let payload = json!({});
    let waits = dead_letters.discard(&ours, &id(after), "no").await.unwrap_err();
    assert_eq!((waits.kind(), waits.code()), (kernel::Kind::Conflict, "dead_letter_waiting"));
    for (request, letter, code) in [
        (&theirs, id(broken), "not_found"),
        (&ours, id(Position(broken.0 + 1_000)), "not_found"),
        (&ours, format!("projection.other.{broken}").parse().unwrap(), "not_found"),
        (&auditor, id(broken), "permission_missing"),
    ] {
        assert_eq!(dead_letters.redrive(request, &letter, "").await.unwrap_err().code(), code);
        assert_eq!(dead_letters.discard(request, &letter, "no").await.unwrap_err().code(), code);
        assert_eq!(dead_letters.edit(request, &letter, &payload, "no").await.unwrap_err().code(), code);
        assert_eq!(dead_letters.preview(&request.caller, &letter, None).await.unwrap_err().code(), code);
    }
    assert_eq!(dead_letters.find(&theirs.caller, &id(broken)).await.unwrap_err().code(), "not_found");
    assert_eq!(dead_letters.redrive_all(&theirs, None, "").await.unwrap().letters, 0);
    let listing = Listing { consumer: None, state: State::Parked, after: None, limit: 10 };
    assert_eq!(dead_letters.list(&theirs.caller, &listing).await.unwrap(), []);
    let listed = dead_letters.list(&auditor.caller, &listing).await.unwrap();
    assert_eq!(listed.iter().map(|letter| (&letter.id, letter.waiting)).collect::<Vec<_>>(), [(&id(broken), 1)]);
    let next = Listing { after: Some(id(broken)), ..listing };
    assert_eq!(dead_letters.list(&auditor.caller, &next).await.unwrap(), []);
    let member = request(road.tenants[0], Role::Member, None);
    assert_eq!(dead_letters.list(&member.caller, &next).await.unwrap_err().code(), "permission_missing");
    assert_eq!(written(&road).await, before);
    running.stop().await;
}

#[tokio::test]
async fn what_comes_decided_from_another_cell_is_heeded_where_it_is_parked_and_tells_of_what_was_taken_before() {
    let consumers = [deadletters::Consumer::new(deadletters::Kind::Projection, "lamps")];
    let decide = async |road: &Road, broken: Position| {
        sqlx::query(
            "INSERT INTO dead.decisions (tenant_id, consumer, position, nth, kind, actor, reason)
             VALUES ($1, 'projection.lamps', $2, 1, 'discard', 'ada', 'there')",
        )
        .bind(road.tenants[0].uuid())
        .bind(i64::try_from(broken.0).unwrap())
        .execute(&mut road.superuser().await)
        .await
        .unwrap();
    };
    // The event is parked in this cell, too: it is retried at once.
    let (road, running, broken, _) = world().await;
    let (tenant, mut connection) = (road.tenants[0], road.superuser().await);
    let before = Verdicts::load(&mut connection, tenant, &consumers).await.unwrap();
    decide(&road, broken).await;
    assert!(!before.is_overruled(&mut connection, tenant, &consumers).await.unwrap());
    testbed::eventually("nothing is parked any more", async || parked(&road).await.is_empty().then_some(())).await;
    assert_eq!(road.rows().await, road.expected(&[broken]).await);
    let held = Verdicts::load(&mut connection, tenant, &consumers).await.unwrap();
    assert!(!held.is_overruled(&mut connection, tenant, &consumers).await.unwrap(), "it was heeded");
    running.stop().await;

    // A newer program in this cell applied the event before the decision arrived: only a rebuild respects the decision.
    let road = Road::new(Lamps { lenient: true, ..Lamps::new() }).await;
    let broken = road.append(0, "bad", "demo.lamp.lit", r#"{"broken":"poison"}"#).await;
    let running = road.start();
    road.visible(&running.models).await;
    let (tenant, mut connection) = (road.tenants[0], road.superuser().await);
    let before = Verdicts::load(&mut connection, tenant, &consumers).await.unwrap();
    decide(&road, broken).await;
    assert!(before.is_overruled(&mut connection, tenant, &consumers).await.unwrap());
    let lenient = Lamps { lenient: true, ..Lamps::new() };
    let database = &road.database;
    projector::rebuild(&database.admin(), database, &road.store, &lenient, |_| {}).await.unwrap();
    assert_eq!(road.rows().await, road.expected(&[broken]).await);
    running.stop().await;
}

//! Edits of dead letters: personal data in them is encrypted, and none of somebody else is decrypted by them.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testbed::{eventually, insert_raw_event};
use tokio_util::sync::CancellationToken;

use crate::dead_letters::{parked, rebuild, rows, until};
use crate::world::World;

/// A lead, and their name as somebody knows it from a backup, or from a file that auditors got: encrypted.
async fn known_ciphertext(world: &World, superuser: &mut PgConnection) -> (String, Value) {
    let marie = world.lead("Marie Curie").await;
    let captured: String =
        sqlx::query_scalar("SELECT payload::text FROM log.events WHERE aggregate_id = $1 AND sequence = 1")
            .bind(&marie)
            .fetch_one(superuser)
            .await
            .unwrap();
    let captured: Value = serde_json::from_str(&captured).unwrap();
    let ciphertext = captured["details"]["name"]["sealed"].as_str().unwrap();
    let sealed = json!({ "sealed": format!("{ciphertext}@crm.lead/{marie}") });
    (marie, sealed)
}

#[tokio::test]
async fn what_somebody_typed_of_a_person_is_sealed_opened_when_shown_and_goes_with_them() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (sick, id) = parked(&world, &mut superuser, "Sick").await;
    let path = format!("/v1/dead-letters/crm/{id}");
    let typed = json!({ "event": "crm.lead.disqualified", "reason": "no_budget", "note": "Katherine called" });
    let edited = world.post(&format!("{path}/edit"), json!({ "payload": typed, "reason": "a slip" })).await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    let applied = until(&world, &id, "applied").await;
    let audit = &applied["decisions"][0];
    assert_eq!((&audit["before"]["reason"], &audit["after"]), (&json!(42), &typed), "it is opened when it is shown");
    let kept = "SELECT before || after FROM dead.decisions WHERE kind = 'edit'";
    let kept: String = sqlx::query_scalar(kept).fetch_one(&mut superuser).await.unwrap();
    assert!(!kept.contains("Katherine") && kept.contains(r#""note":{"sealed":"v1."#), "{kept}");
    assert!(kept.contains(r#""reason":"no_budget""#), "what is nobody's is sealed: {kept}");

    // In production the fix is a new version of the program, which can decode the event.
    let position: i64 = id.rsplit('.').next().unwrap().parse().unwrap();
    sqlx::query(r#"UPDATE log.events SET payload = '{"event":"crm.lead.disqualified","reason":"no_budget"}' WHERE position = $1"#)
        .bind(position)
        .execute(&mut superuser)
        .await
        .unwrap();
    let erased = world.post(&format!("/v1/crm/leads/{sick}/erase"), json!({ "reason": "requested" })).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:?}");
    let gone = eventually("the key is forgotten", async || {
        let shown = world.get(&path).await.body;
        shown["decisions"][0]["after"]["note"]["sealed"].is_string().then_some(shown)
    })
    .await;
    assert!(!gone.to_string().contains("Katherine"), "{gone}");
    assert_eq!(gone["decisions"][0]["after"]["reason"], "no_budget", "what is nobody's stays");
    rebuild(&world).await;
}

#[tokio::test]
async fn attack_184_what_is_sealed_of_somebody_else_is_not_opened_by_an_edit() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (marie, note) = known_ciphertext(&world, &mut superuser).await;
    let (_, id) = parked(&world, &mut superuser, "Sick").await;
    let typed = json!({ "event": "crm.lead.disqualified", "reason": "no_budget", "note": note });
    let path = format!("/v1/dead-letters/crm/{id}/edit");
    let edited = world.post(&path, json!({ "payload": typed, "reason": "a slip" })).await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    let applied = until(&world, &id, "applied").await;
    assert_eq!(applied["decisions"][0]["after"]["note"], json!({ "sealed": "" }), "as of somebody who is erased");
    assert!(!applied.to_string().contains("Curie"), "{applied}");
    let sick = rows(&mut superuser).await.into_iter().filter(|row| !row.contains(&marie));
    assert!(sick.filter(|row| row.contains("Curie")).count() == 0, "nor is it in the read model");
}

#[tokio::test]
async fn attack_184_nor_is_it_by_an_edit_of_what_has_no_personal_data() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (_, of_marie) = known_ciphertext(&world, &mut superuser).await;
    let made = world.post("/v1/crm/accounts", json!({ "name": "Acme" })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let (account, reassigned) = (made.body["id"].as_str().unwrap(), "crm.account.reassigned");
    let poison = json!({ "event": reassigned, "owner": 42 }).to_string();
    let position = insert_raw_event(&mut superuser, account, reassigned, &poison).await;
    let id = format!("projection.accounts.{position}");
    until(&world, &id, "parked").await;
    // In a member that nothing reads.
    let typed = json!({ "event": reassigned, "owner": "ada", "aside": of_marie });
    let path = format!("/v1/dead-letters/crm/{id}/edit");
    let edited = world.post(&path, json!({ "payload": typed, "reason": "a slip" })).await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    let applied = until(&world, &id, "applied").await;
    let after = json!({ "event": reassigned, "owner": "ada", "aside": { "sealed": "" } });
    assert_eq!(applied["decisions"][0]["after"], after);
}

#[tokio::test]
async fn edits_of_before_they_were_sealed_are_sealed_by_whoever_serves() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (_, id) = parked(&world, &mut superuser, "Sick").await;
    let typed = json!({ "event": "crm.lead.disqualified", "reason": "no_budget", "note": "Katherine called" });
    let path = format!("/v1/dead-letters/crm/{id}");
    let edited = world.post(&format!("{path}/edit"), json!({ "payload": typed, "reason": "a slip" })).await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    // As an older version of the program left the row.
    let clear = "UPDATE dead.decisions SET after = $1 WHERE kind = 'edit'";
    sqlx::query(clear).bind(typed.to_string()).execute(&mut superuser).await.unwrap();
    let clock = Arc::new(kernel::SystemClock);
    let store =
        eventstore::EventStore::open(&world.database, world.config.log_settings(), clock.clone()).await.unwrap();
    let settings = executor::Settings { cache_bytes: 1 << 20, snapshot_events: 0, claim_key: [7; 32] };
    let executor = executor::Executor::new(store.clone(), clock, Arc::new(kernel::SystemIds), settings);
    let domain = gateway::domains().remove(0);
    let dead_letters = gateway::dead_letters_of(&domain, &world.database, store, executor, None).unwrap();
    dead_letters.seal_former((*world.database).clone(), CancellationToken::new()).await;
    let kept = "SELECT after FROM dead.decisions WHERE kind = 'edit'";
    let kept: String = sqlx::query_scalar(kept).fetch_one(&mut superuser).await.unwrap();
    assert!(!kept.contains("Katherine") && kept.contains(r#""reason":"no_budget""#), "{kept}");
    assert_eq!(world.get(&path).await.body["decisions"][0]["after"], typed);
}

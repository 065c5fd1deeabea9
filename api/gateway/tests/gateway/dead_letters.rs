//! Dead letters end to end: listed, rehearsed, edited, discarded.

use std::collections::BTreeSet;

use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use testbed::{Statements, eventually, insert_raw_event};

use crate::reach::with_permissions;
use crate::users::member;
use crate::world::{Answer, World};

/// The leads in the read model, with their history.
pub async fn rows(superuser: &mut PgConnection) -> Vec<String> {
    let query = "SELECT to_jsonb(l)::text FROM crm.lead l UNION ALL SELECT to_jsonb(h)::text FROM crm.lead_history h ORDER BY 1";
    sqlx::query_scalar(query).fetch_all(superuser).await.unwrap()
}

/// Makes a lead with an event that can't be decoded, followed by another event; returns the dead letter's id.
pub async fn parked(world: &World, superuser: &mut PgConnection, name: &str) -> (String, String) {
    let lead = world.lead(name).await;
    let poison = r#"{"event":"crm.lead.disqualified","reason":42}"#;
    let position = insert_raw_event(superuser, &lead, "crm.lead.disqualified", poison).await;
    insert_raw_event(superuser, &lead, "crm.lead.assigned", r#"{"event":"crm.lead.assigned","owner":"ada"}"#).await;
    let id = format!("projection.leads.{position}");
    eventually("it is parked with what follows it", async || {
        let found = world.get(&format!("/v1/dead-letters/crm/{id}")).await;
        (found.status == StatusCode::OK && found.body["waiting"] == 1).then_some(())
    })
    .await;
    (lead, id)
}

pub async fn until(world: &World, id: &str, state: &str) -> Value {
    eventually(&format!("{id} is {state}"), async || {
        let found = world.get(&format!("/v1/dead-letters/crm/{id}")).await;
        Some(found.body).filter(|letter| letter["state"] == state)
    })
    .await
}

async fn lead(world: &World, id: &str) -> Value {
    let query = format!("{{ crm {{ lead(id: \"{id}\") {{ version status owner }} }} }}");
    let answer = world.post("/graphql", json!({ "query": query })).await;
    assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
    answer.body["data"]["crm"]["lead"].clone()
}

#[tokio::test]
async fn a_dead_letter_is_seen_tried_and_edited_with_a_preview_and_an_audit() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (sick, id) = parked(&world, &mut superuser, "Sick").await;
    let path = format!("/v1/dead-letters/crm/{id}");

    let list = world.get("/v1/dead-letters/crm?consumer=projection.leads&limit=1").await;
    assert_eq!((&list.body["dead_letters"][0]["id"], &list.body["next"]), (&json!(id), &Value::Null), "{list:?}");
    let shown = world.get(&path).await.body;
    assert_eq!(shown["event"]["payload"], json!({ "event": "crm.lead.disqualified", "reason": 42 }), "{shown}");
    let why = shown["errors"][0].as_str().unwrap();
    assert!(why.contains("crm.lead.disqualified") && why.contains("can't be read"), "{shown}");
    assert_eq!(shown["attempts_made"][0]["errors"][0], why, "{shown}");
    let query = format!(
        "{{ deadLetters {{ letters(consumer: \"projection.leads\") {{ nodes {{ id state errors waiting }} }} letter(id: \"{id}\") {{ position event {{ version payload metadata }} attemptsMade {{ nth errors }} decisions {{ kind }} }} }} }}"
    );
    let asked = world.post("/graphql", json!({ "query": query })).await;
    let letters = &asked.body["data"]["deadLetters"]["letters"]["nodes"];
    assert_eq!((&letters[0]["id"], &letters[0]["waiting"]), (&json!(id), &json!(1)), "{asked:?}");
    assert_eq!(letters[0]["errors"][0], why, "{asked:?}");
    let letter = &asked.body["data"]["deadLetters"]["letter"];
    let payload: Value = serde_json::from_str(letter["event"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!((&payload, &letter["event"]["version"]), (&shown["event"]["payload"], &json!(1)), "{asked:?}");
    let made = letter["attemptsMade"].as_array().unwrap();
    assert_eq!((&made.last().unwrap()["nth"], &made[0]["errors"][0]), (&json!(1), &json!(why)), "{asked:?}");
    assert_eq!(letter["decisions"], json!([]), "{asked:?}");
    let by_manager = world.anonymous(Method::POST, "/graphql").bearer_auth(world.token(&[Role::Manager]));
    let refused =
        Answer::of(by_manager.json(&json!({ "query": "{ deadLetters { letters { nodes { id } } } }" }))).await;
    assert_eq!(refused.body["errors"][0]["extensions"]["code"], "permission_missing", "{refused:?}");
    let theirs = world.anonymous(Method::POST, "/graphql").bearer_auth(world.stranger());
    let theirs = Answer::of(theirs.json(&json!({ "query": query }))).await;
    assert_eq!(theirs.body["data"]["deadLetters"], json!({ "letters": { "nodes": [] }, "letter": null }), "{theirs:?}");
    let redriven = world.post(&format!("{path}/redrive"), json!({ "reason": "a try" })).await;
    assert_eq!((redriven.status, &redriven.body["id"]), (StatusCode::OK, &json!(id)), "{redriven:?}");

    let before = rows(&mut superuser).await;
    let mended = json!({ "event": "crm.lead.disqualified", "reason": "no_budget" });
    let preview = world.post(&format!("{path}/preview"), json!({ "payload": mended })).await.body;
    assert_eq!(
        (&preview["applies"], &preview["taken"], &preview["today"]),
        (&json!(true), &json!(2), &json!([mended]))
    );
    let preview = world.post(&format!("{path}/preview"), json!({})).await.body;
    assert_eq!((&preview["applies"], &preview["taken"]), (&json!(false), &json!(0)), "{preview}");
    assert!(preview["errors"][0].as_str().is_some_and(|error| error.contains("can't be read")), "{preview}");
    assert_eq!(rows(&mut superuser).await, before, "a preview left something");

    let edit = || {
        let request = world.request(Method::POST, &format!("{path}/edit")).header("idempotency-key", "e");
        request.json(&json!({ "payload": mended, "reason": "a reason is a word" }))
    };
    let edited = Answer::of(edit()).await;
    assert_eq!(edited.status, StatusCode::OK, "{edited:?}");
    let applied = until(&world, &id, "applied").await;
    let audit = &applied["decisions"][0];
    assert_eq!(
        (&audit["kind"], &audit["actor"], &audit["reason"]),
        (&json!("edit"), &json!("ada"), &json!("a reason is a word")),
        "{applied}"
    );
    assert_eq!((&audit["before"]["reason"], &audit["after"]["reason"]), (&json!(42), &json!("no_budget")));
    assert_eq!(applied["event"]["payload"]["reason"], 42, "the log never changes");
    assert_eq!(applied["decisions"][1]["kind"], "redrive");
    let query = format!("{{ deadLetters {{ letter(id: \"{id}\") {{ decisions {{ kind actor reason after }} }} }} }}");
    let asked = world.post("/graphql", json!({ "query": query })).await;
    let decided = &asked.body["data"]["deadLetters"]["letter"]["decisions"];
    assert_eq!((&decided[0]["kind"], &decided[0]["reason"]), (&audit["kind"], &audit["reason"]), "{asked:?}");
    let after: Value = serde_json::from_str(decided[0]["after"].as_str().unwrap()).unwrap();
    assert_eq!(after, mended, "{asked:?}");
    let again = Answer::of(edit()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (StatusCode::OK, "true"), "{again:?}");
    let shown = lead(&world, &sick).await;
    assert_eq!((&shown["version"], &shown["owner"]), (&json!(3), &json!("ada")), "{shown}");
    let live = rows(&mut superuser).await;
    rebuild(&world).await;
    assert_eq!(rows(&mut superuser).await, live);
}

#[tokio::test]
async fn what_belongs_to_many_dead_letters_is_read_at_once() {
    let statements = Statements::capture();
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let mut parked_letters = Vec::new();
    for n in 0..4 {
        let (_, id) = parked(&world, &mut superuser, &format!("Sick {n}")).await;
        // Each letter gets a decision of its own, which shows whether the dataloader assigns them correctly.
        let path = format!("/v1/dead-letters/crm/{id}/redrive");
        let redriven = world.post(&path, json!({ "reason": id })).await;
        assert_eq!(redriven.status, StatusCode::OK, "{redriven:?}");
        parked_letters.push(id);
    }
    let selected = "nodes { id position event { id payload } attemptsMade { nth } decisions { reason } }";
    let query = format!("{{ deadLetters {{ letters(consumer: \"projection.leads\") {{ {selected} }} }} }}");
    statements.clear();
    let asked = world.post("/graphql", json!({ "query": query })).await;
    let letters = asked.body["data"]["deadLetters"]["letters"]["nodes"].as_array().unwrap();
    assert_eq!(letters.len(), parked_letters.len(), "{asked:?}");
    let mut events = BTreeSet::new();
    for (letter, id) in letters.iter().zip(parked_letters.iter().rev()) {
        assert_eq!((&letter["id"], &letter["decisions"][0]["reason"]), (&json!(id), &json!(id)), "{letter}");
        assert_eq!(letter["attemptsMade"].as_array().unwrap().last().unwrap()["nth"], 1, "{letter}");
        assert!(letter["event"]["payload"].as_str().unwrap().contains("crm.lead.disqualified"), "{letter}");
        events.insert(letter["event"]["id"].to_string());
    }
    assert_eq!(events.len(), letters.len(), "each has its own event");
    for part in [
        "FROM log.events WHERE tenant_id = $1 AND position = ANY",
        "SELECT attempt, at, errors FROM dead.attempts a",
        "decided_at, before, after FROM dead.decisions d",
    ] {
        let sent = statements.with(part);
        assert_eq!(sent.len(), 1, "{part}: {sent:#?}");
    }
}

#[tokio::test]
async fn what_is_discarded_is_lacking_in_the_read_model_and_the_next_event_follows_on_it() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (sick, id) = parked(&world, &mut superuser, "Sick").await;
    let path = format!("/v1/dead-letters/crm/{id}/discard");
    let done = world.post(&path, json!({ "reason": "nobody knows what it was" })).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(done.body["consequence"].as_str().is_some_and(|said| said.contains("lacks the event")), "{done:?}");
    until(&world, &id, "discarded").await;
    let shown = lead(&world, &sick).await;
    assert_eq!((&shown["version"], &shown["status"], &shown["owner"]), (&json!(3), &json!("ASSIGNED"), &json!("ada")));
    // The current row closes the former one: exactly one of the two is open.
    let history: Vec<(i64, bool)> =
        sqlx::query_as("SELECT version, known_to = 'infinity' FROM crm.lead_history ORDER BY version")
            .fetch_all(&mut superuser)
            .await
            .unwrap();
    assert_eq!(history, [(2, false), (3, true)]);
    let live = rows(&mut superuser).await;
    rebuild(&world).await;
    assert_eq!(rows(&mut superuser).await, live);
}

/// Rebuilds the read model of leads.
pub async fn rebuild(world: &World) {
    let domain = gateway::domains().remove(0);
    let leads = domain.projections.iter().find(|projection| projection.name() == "leads").unwrap();
    let (settings, clock) = (world.config.log_settings(), std::sync::Arc::new(kernel::SystemClock));
    let store = eventstore::EventStore::open(&world.database, settings, clock).await.unwrap();
    let rebuilt = projector::rebuild(&world.database.admin(), &world.database, &store, &**leads, |_| {}).await.unwrap();
    assert_eq!(rebuilt.parked_events, 0);
}

#[tokio::test]
async fn who_may_not_or_asks_for_what_is_not_there_is_refused_and_nothing_is_decided() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let (_, id) = parked(&world, &mut superuser, "Sick").await;
    let waiting: i64 = id.rsplit('.').next().unwrap().parse::<i64>().unwrap() + 1;
    let path = format!("/v1/dead-letters/crm/{id}");
    let as_role = |role, method, path: &str| world.anonymous(method, path).bearer_auth(world.token(&[role]));
    let stranger = |method, path: &str| world.anonymous(method, path).bearer_auth(world.stranger());
    let post = |what: &str, body: Value| world.request(Method::POST, &format!("{path}/{what}")).json(&body);
    let (reason, bad) = (json!({ "reason": "no" }), StatusCode::BAD_REQUEST);
    let forbidden = StatusCode::FORBIDDEN;
    let edit = |payload: Value| post("edit", json!({ "payload": payload, "reason": "no" }));
    world
        .refuses(vec![
            (as_role(Role::Manager, Method::GET, &path), forbidden, "permission_missing"),
            (as_role(Role::Member, Method::GET, "/v1/dead-letters/crm"), forbidden, "permission_missing"),
            (
                as_role(Role::Auditor, Method::POST, &format!("{path}/discard")).json(&reason),
                forbidden,
                "permission_missing",
            ),
            (as_role(Role::Auditor, Method::POST, &format!("{path}/preview")), forbidden, "permission_missing"),
            (as_role(Role::Auditor, Method::POST, "/v1/dead-letters/crm/redrive"), forbidden, "permission_missing"),
            (stranger(Method::GET, &path), StatusCode::NOT_FOUND, "not_found"),
            (stranger(Method::POST, &format!("{path}/redrive")), StatusCode::NOT_FOUND, "not_found"),
            (stranger(Method::POST, &format!("{path}/discard")).json(&reason), StatusCode::NOT_FOUND, "not_found"),
            (world.request(Method::GET, "/v1/dead-letters/erp"), StatusCode::NOT_FOUND, "not_found"),
            (
                world
                    .request(Method::POST, &format!("/v1/dead-letters/crm/projection.leads.{waiting}/discard"))
                    .json(&reason),
                StatusCode::CONFLICT,
                "dead_letter_waiting",
            ),
            (
                world.request(Method::POST, "/v1/dead-letters/crm/projection.leads.1/discard").json(&reason),
                StatusCode::NOT_FOUND,
                "not_found",
            ),
            (world.request(Method::GET, "/v1/dead-letters/crm/leads"), bad, "parameter_invalid"),
            (world.request(Method::GET, "/v1/dead-letters/crm?state=waiting"), bad, "parameter_invalid"),
            (world.request(Method::GET, "/v1/dead-letters/crm?consumer=leads"), bad, "parameter_invalid"),
            (post("discard", json!({})), bad, "validation_failed"),
            (post("discard", json!({ "reason": " " })), bad, "validation_failed"),
            (post("redrive", json!({ "why": "no" })), bad, "validation_failed"),
            (post("redrive", json!({})).header("if-match", "\"1\""), bad, "header_invalid"),
            (
                world.request(Method::POST, "/v1/dead-letters/crm/redrive").json(&json!({ "consumer": "leads" })),
                bad,
                "validation_failed",
            ),
            (edit(json!([1])), bad, "validation_failed"),
            (edit(json!({ "event": "crm.lead.assigned", "owner": "ada" })), bad, "validation_failed"),
            (
                edit(json!({ "event": "crm.lead.disqualified", "reason": "weather" })),
                StatusCode::UNPROCESSABLE_ENTITY,
                "dead_letter_edit_fails",
            ),
        ])
        .await;
    let shown = world.get(&path).await.body;
    assert_eq!((&shown["state"], &shown["decisions"]), (&json!("parked"), &json!([])), "{shown}");
    let none = Answer::of(stranger(Method::GET, "/v1/dead-letters/crm")).await;
    assert_eq!(none.body["dead_letters"], json!([]));
}

/// Makes a group with an event that can't be decoded; returns the dead letter's id.
async fn parked_group(world: &World, name: &str) -> String {
    let made = world.post("/v1/user/groups", json!({ "name": name })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let poison = json!({ "event": "user.group.renamed", "name": 42 });
    parked_in(world, "groups", made.body["id"].as_str().unwrap(), &poison).await
}

/// Appends an event that can't be decoded to an aggregate of the user service; returns the dead letter's id.
async fn parked_in(world: &World, projection: &str, aggregate: &str, poison: &Value) -> String {
    let mut superuser = PgConnection::connect_with(&world.of("user").superuser()).await.unwrap();
    let event_type = poison["event"].as_str().unwrap();
    let position = insert_raw_event(&mut superuser, aggregate, event_type, &poison.to_string()).await;
    let id = format!("projection.{projection}.{position}");
    eventually("it is parked", async || {
        let found = world.get(&format!("/v1/dead-letters/user/{id}")).await;
        (found.status == StatusCode::OK).then_some(())
    })
    .await;
    id
}

#[tokio::test]
async fn without_a_service_the_dead_letters_of_all_services_are_one_list() {
    let world = World::start().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    for n in 0..2 {
        parked(&world, &mut superuser, &format!("Sick {n}")).await;
        parked_group(&world, &format!("Sick {n}")).await;
    }
    let ask = async |question: &str| {
        let answer = world.post("/graphql", json!({ "query": format!("{{ deadLetters {{ {question} }} }}") })).await;
        assert_eq!(answer.body["errors"], Value::Null, "{answer:?}");
        answer.body["data"]["deadLetters"].clone()
    };
    let rows = |answer: &Value| answer["letters"]["nodes"].as_array().unwrap().clone();
    // Every letter is on exactly one page. (Other consumers of the same events may park them a moment later.)
    let all = eventually("the pages are the list", async || {
        let whole = ask("letters(first: 200) { totalCount nodes { id service position } }").await;
        let all = rows(&whole);
        if whole["letters"]["totalCount"] != all.len() {
            return None;
        }
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let selected = "nodes { id service position } pageInfo { hasNextPage endCursor }";
            let page = ask(&format!("letters(first: 1{after}) {{ {selected} }}")).await;
            pages.extend(rows(&page));
            let info = &page["letters"]["pageInfo"];
            if info["hasNextPage"] == false {
                break;
            }
            after = format!(", after: {}", info["endCursor"]);
        }
        (pages == all).then_some(all)
    })
    .await;
    for service in ["crm", "user"] {
        let own = rows(&ask(&format!("letters(service: \"{service}\") {{ nodes {{ id service }} }}")).await);
        assert!(own.len() >= 2 && own.iter().all(|row| row["service"] == service), "{own:?}");
        assert!(all.iter().filter(|row| row["service"] == service).count() >= 2, "{all:?}");
        let one = ask(&format!("letter(id: {}) {{ service }}", own[0]["id"])).await;
        assert_eq!(one["letter"]["service"], service);
    }
    let positions: Vec<u64> = all.iter().map(|row| row["position"].as_str().unwrap().parse().unwrap()).collect();
    assert!(positions.is_sorted_by(|a, b| a >= b), "{positions:?}");
}

#[tokio::test]
async fn attack_172_who_may_only_decide_about_dead_letters_makes_nobody_an_administrator_and_leaves_nobody_signed_in() {
    let world = World::start().await;
    let (ada, _) = member(&world, "ada").await;
    // Once nobody else appends to her stream.
    world.head().await;
    let granted = |role: Value| json!({ "event": "user.user.role_granted", "role": role });
    let id = parked_in(&world, "people", &ada, &granted(json!(42))).await;
    let decide = ["user:dead_letter:write", "auth:dead_letter:write", "crm:dead_letter:write"];
    let keeper = with_permissions(&world, &decide).await;
    let post = |path: &str, body: &Value| {
        world.anonymous(Method::POST, &format!("/v1/dead-letters/{path}")).bearer_auth(&keeper).json(body)
    };
    let exceeds = |path: &str, body: &Value| (post(path, body), StatusCode::FORBIDDEN, "exceeds_own_permissions");
    let edit = |role: &str| json!({ "payload": granted(json!(role)), "reason": "misspelt" });
    let reason = json!({ "reason": "no" });
    world
        .refuses(vec![
            exceeds(&format!("user/{id}/edit"), &edit("admin")),
            exceeds(&format!("user/{id}/discard"), &reason),
            exceeds("user/saga.end_access.1/discard", &reason),
            exceeds("auth/saga.announce_logout.1/discard", &reason),
            // Nobody's access depends on the CRM.
            (post("crm/projection.leads.1/discard", &reason), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
    let shown = world.get(&format!("/v1/dead-letters/user/{id}")).await.body;
    assert_eq!((&shown["state"], &shown["decisions"]), (&json!("parked"), &json!([])), "{shown}");

    let redriven = Answer::of(post(&format!("user/{id}/redrive"), &json!({}))).await;
    assert_eq!(redriven.status, StatusCode::OK, "to retry changes nothing: {redriven:?}");
    let edited = world.post(&format!("/v1/dead-letters/user/{id}/edit"), edit("viewer")).await;
    assert_eq!(edited.status, StatusCode::OK, "an administrator may: {edited:?}");
}

#[test]
fn a_consumer_is_of_one_service_so_that_a_dead_letter_of_any_service_has_an_id_of_its_own() {
    let mut names: Vec<String> = Vec::new();
    for domain in gateway::domains() {
        let projections = domain.projections.iter().map(|projection| format!("projection.{}", projection.name()));
        let sagas = domain.sagas.iter().flat_map(coordinator::Sagas::definitions);
        let sagas = sagas.map(|definition| format!("saga.{}", definition.name()));
        // Several versions of one definition are one consumer.
        names.extend(projections.chain(sagas).collect::<BTreeSet<_>>());
    }
    names.sort();
    let twice: Vec<_> = names.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
    assert!(twice.is_empty(), "give one of them another name: {twice:?}");
}

//! Webhooks: how tenants create and inspect them, over REST and GraphQL.

use std::sync::Arc;

use config::SecretText;
use eventstore::EventStore;
use kernel::{Role, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testbed::receiver::{Receiver, Reply};
use testbed::{MailServer, eventually, lanterns};

use crate::provisioning::{town_with, within_a_second};
use crate::world::{Answer, World, token};

async fn world() -> World {
    World::start_with(|config| config.webhooks.allow_private = true).await
}

/// The deliveries to a webhook, newest first: every one was recorded, and is on exactly one page.
async fn deliveries_are_listed(world: &World, path: &str) -> Vec<Value> {
    let deliveries = eventually("the deliveries are noted", async || {
        let found = world.get(&format!("{path}/deliveries?limit=2")).await;
        let list = found.body["deliveries"].as_array().cloned()?;
        (list.len() == 2 && list[1]["position"] == 3).then_some(list)
    })
    .await;
    assert_eq!(deliveries[0]["event_type"], "inopsio.webhook.ping");
    // Every delivery is on exactly one page, and the last page has no next one.
    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("{path}/deliveries?limit=1{after}")).await.body;
        listed.extend(page["deliveries"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert!(listed.len() >= 4, "{listed:?}");
    assert_eq!(listed[..2], deliveries[..]);
    listed
}

/// The changes of a webhook, page by page.
async fn changes_are_listed(world: &World, path: &str) {
    let changes = world.get(&format!("{path}/changes?limit=1")).await.body;
    let earlier = world.get(&format!("{path}/changes?after={}", changes["next"])).await.body;
    assert_eq!(
        (&changes["changes"][0]["version"], &earlier["changes"][0]["version"]),
        (&json!(3), &json!(2)),
        "{changes}"
    );
    assert_eq!(earlier["next"], Value::Null, "{earlier}");
}

/// GraphQL shows the webhook with its deliveries.
async fn is_shown_by_graphql(world: &World, id: &str, listed: &[Value]) {
    let query = format!(
        "{{ events {{ webhooks {{ id state types lagEvents delivered position }} webhook(id: \"{id}\") {{ url version
           deliveries(first: 1) {{ totalCount nodes {{ eventType status error }} pageInfo {{ hasNextPage }} }} }} }} }}"
    );
    let asked = world.post("/graphql", json!({ "query": query })).await;
    let events = &asked.body["data"]["events"];
    assert_eq!((&events["webhooks"][0]["id"], &events["webhook"]["version"]), (&json!(id), &json!(3)), "{asked:?}");
    let page = &events["webhook"]["deliveries"];
    assert_eq!(page["nodes"][0]["eventType"], "inopsio.webhook.ping", "{page}");
    assert_eq!((&page["totalCount"], &page["pageInfo"]["hasNextPage"]), (&json!(listed.len()), &json!(true)), "{page}");
    let shown = &events["webhooks"][0];
    assert_eq!(shown["state"], "ENABLED", "{shown}");
    for number in ["lagEvents", "delivered", "position"] {
        assert!(shown[number].is_string(), "{number} may outgrow 32 bits: {shown}");
    }
}

/// The webhook is disabled, enabled, changed and removed.
async fn is_changed_and_removed(world: &World, path: &str, url: &str) {
    assert_eq!(world.post(&format!("{path}/disable"), json!({ "reason": "moved" })).await.status, StatusCode::OK);
    let shown = world.get(path).await;
    assert_eq!((&shown.body["state"], &shown.body["disabled_reason"]), (&json!("disabled"), &json!("moved")));
    assert_eq!(world.post(&format!("{path}/enable"), json!({})).await.status, StatusCode::OK);
    let changed = world.post(&format!("{path}/change"), json!({ "url": url })).await;
    assert_eq!((changed.status, world.get(path).await.body["types"].clone()), (StatusCode::OK, json!([])));
    let remove = || world.request(Method::POST, &format!("{path}/remove")).header("idempotency-key", "two");
    assert_eq!(Answer::of(remove()).await.status, StatusCode::OK);
    assert_eq!(world.get(path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(Answer::of(remove()).await.status, StatusCode::OK, "the same request gets the first answer");
}

#[tokio::test]
async fn a_webhook_is_set_up_gets_events_and_shows_what_it_got() {
    let world = world().await;
    let receiver = Receiver::start().await;
    world.lead("before").await;
    let body =
        json!({ "service": "crm", "url": receiver.url, "types": ["crm.lead.*"], "description": "the warehouse" });
    let create = || world.request(Method::POST, "/v1/events/webhooks").header("idempotency-key", "one").json(&body);
    let created = Answer::of(create()).await;
    assert_eq!((created.status, created.header("etag")), (StatusCode::CREATED, "\"1\""), "{created:?}");
    let id = created.body["id"].as_str().unwrap();
    assert_eq!(created.header("location"), format!("/v1/events/webhooks/{id}"));
    assert!(created.body["secret"].as_str().unwrap().starts_with("whsec_"));
    let again = Answer::of(create()).await;
    assert_eq!((&again.body, again.header("idempotency-replayed")), (&created.body, "true"));

    assert_eq!(world.post("/v1/crm/accounts", json!({ "name": "not wanted" })).await.status, StatusCode::CREATED);
    world.lead("after").await;
    let path = format!("/v1/events/webhooks/{id}");
    let shown = eventually("it is delivered, and noted", async || {
        Some(world.get(&path).await).filter(|shown| shown.body["delivered"] == 1)
    })
    .await;
    assert_eq!(receiver.positions(), [3]);
    assert_eq!(receiver.got()[0].json()["data"]["details"]["name"], "after");
    assert_eq!((&shown.body["state"], &shown.body["service"]), (&json!("enabled"), &json!("crm")));
    assert!(shown.body.get("secret").is_none(), "{shown:?}");
    // How far it is changes without a new version, so whoever has this one gets it all the same.
    let known = world.request(Method::GET, &path).header("if-none-match", shown.header("etag"));
    let known = Answer::of(known).await;
    assert_eq!((known.status, known.header("cache-control")), (StatusCode::OK, "no-store"), "{known:?}");
    assert_eq!(world.get("/v1/events/webhooks").await.body["webhooks"][0]["id"], id);

    let replayed = world.post(&format!("{path}/replay"), json!({ "after": 0 })).await;
    assert_eq!((replayed.status, &replayed.body["version"]), (StatusCode::OK, &json!(2)));
    eventually("all that is wanted arrives again", async || (receiver.positions() == [3, 1, 3]).then_some(())).await;
    let ping = world.post(&format!("{path}/ping"), json!({})).await;
    assert_eq!((&ping.body["delivered"], &ping.body["status"]), (&json!(true), &json!(204)), "{ping:?}");
    let rotated = world.post(&format!("{path}/rotate-secret"), json!({ "overlap_hours": 1 })).await;
    assert_ne!(rotated.body["secret"], created.body["secret"]);
    let listed = deliveries_are_listed(&world, &path).await;
    changes_are_listed(&world, &path).await;
    is_shown_by_graphql(&world, id, &listed).await;
    is_changed_and_removed(&world, &path, &receiver.url).await;
    // The record of changes outlives the webhook; the secret is in none of it, not even in the first answer.
    let changes = world.get(&format!("{path}/changes")).await;
    let names: Vec<_> =
        changes.body["changes"].as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect();
    assert_eq!(names, ["removed", "changed", "enabled", "disabled", "secret_rotated", "replayed", "created"]);
    assert_eq!(changes.body["changes"][0]["actor"], "ada");
    assert!(
        !changes.body.to_string().contains("whsec_") && !Answer::of(create()).await.body.to_string().contains("whsec_")
    );
}

#[tokio::test]
async fn a_repeated_removal_gets_the_first_answer_whichever_service_had_the_webhook() {
    let world = World::start().await;
    for service in gateway::SERVICES {
        let body = json!({ "service": service.name(), "url": "https://hooks.example.com/" });
        let created = world.post("/v1/events/webhooks", body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        let path = format!("/v1/events/webhooks/{}", created.body["id"].as_str().unwrap());
        let act = |act: &str, key: String| {
            world.request(Method::POST, &format!("{path}/{act}")).header("idempotency-key", key)
        };
        let remove = || act("remove", format!("remove-{service}"));
        let first = Answer::of(remove()).await;
        assert_eq!(first.status, StatusCode::OK, "{first:?}");
        let again = Answer::of(remove()).await;
        assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body), "{service}: {again:?}");
        assert_eq!(again.header("idempotency-replayed"), "true");
        // Neither the same request with another key, nor another one with this key, is answered with it.
        let (other, reused) = (act("remove", "other".to_owned()), act("enable", format!("remove-{service}")));
        world
            .refuses(vec![
                (other, StatusCode::NOT_FOUND, "not_found"),
                (reused, StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            ])
            .await;
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_a_problem_and_another_tenant_sees_nothing() {
    let world = World::start().await;
    let url = "https://hooks.example.com/";
    let created = world.post("/v1/events/webhooks", json!({ "service": "crm", "url": url })).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let path = format!("/v1/events/webhooks/{}", created.body["id"].as_str().unwrap());
    let post = |path: &str, body| world.request(Method::POST, path).json(&body);
    let as_role = |method, path: &str, role| world.anonymous(method, path).bearer_auth(world.token(&[role]));
    let as_stranger = |method, path: &str| world.anonymous(method, path).bearer_auth(world.stranger());
    let create = |body| post("/v1/events/webhooks", body);
    let bad = StatusCode::BAD_REQUEST;
    world
        .refuses(vec![
            (create(json!({ "service": "erp", "url": url })), bad, "validation_failed"),
            (create(json!({ "service": "crm", "url": "http://127.0.0.1/" })), bad, "validation_failed"),
            (create(json!({ "service": "crm", "url": url, "secret": "mine" })), bad, "validation_failed"),
            (create(json!({ "service": "crm", "url": url, "types": ["crm.nothing"] })), bad, "validation_failed"),
            (create(json!({ "service": "crm", "url": url, "after": 9 })), bad, "position_ahead"),
            (
                create(json!({ "service": "crm", "url": url })).header("occurred-at", "2026-01-01T00:00:00Z"),
                bad,
                "header_invalid",
            ),
            (
                post(&format!("{path}/change"), json!({ "url": url })).header("if-match", "\"7\""),
                StatusCode::PRECONDITION_FAILED,
                "version_differs",
            ),
            (post(&format!("{path}/ping"), json!({})).header("if-match", "\"1\""), bad, "header_invalid"),
            (
                post(&format!("{path}/ping"), json!({})).header("occurred-at", "2026-01-01T00:00:00Z"),
                bad,
                "header_invalid",
            ),
            (post(&format!("{path}/replay"), json!({ "after": 9 })), bad, "position_ahead"),
            (world.request(Method::GET, &format!("{path}/deliveries?limit=0")), bad, "parameter_invalid"),
            (as_role(Method::GET, "/v1/events/webhooks", Role::Member), StatusCode::FORBIDDEN, "permission_missing"),
            (
                as_role(Method::POST, &format!("{path}/ping"), Role::Auditor),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (
                as_role(Method::POST, &format!("{path}/remove"), Role::Manager),
                StatusCode::FORBIDDEN,
                "permission_missing",
            ),
            (as_stranger(Method::GET, &path), StatusCode::NOT_FOUND, "not_found"),
            (as_stranger(Method::POST, &format!("{path}/remove")), StatusCode::NOT_FOUND, "not_found"),
            (as_stranger(Method::POST, &format!("{path}/ping")), StatusCode::NOT_FOUND, "not_found"),
            (as_stranger(Method::GET, &format!("{path}/deliveries")), StatusCode::NOT_FOUND, "not_found"),
            (as_stranger(Method::GET, &format!("{path}/changes")), StatusCode::NOT_FOUND, "not_found"),
        ])
        .await;
    assert_eq!(world.get(&path).await.body["version"], 1, "nothing was changed");
    let member =
        as_role(Method::POST, "/graphql", Role::Member).json(&json!({ "query": "{ events { webhooks { id } } }" }));
    assert_eq!(Answer::of(member).await.body["errors"][0]["extensions"]["code"], "permission_missing");
    let stranger = as_stranger(Method::POST, "/graphql").json(&json!({ "query": "{ events { webhooks { id } } }" }));
    assert_eq!(Answer::of(stranger).await.body["data"]["events"]["webhooks"], json!([]));
}

#[tokio::test]
async fn how_far_webhooks_and_feeds_are_is_told_to_operators() {
    let world = world().await;
    let receiver = Receiver::start().await;
    for (url, after) in [(receiver.url.as_str(), 0), ("http://127.0.0.1:9/nobody", 0)] {
        let created = world.post("/v1/events/webhooks", json!({ "service": "crm", "url": url, "after": after })).await;
        assert_eq!(created.status, StatusCode::CREATED);
    }
    let feed = world.request(Method::GET, "/v1/events").send().await.unwrap();
    world.lead("Ada").await;
    world.lead("Grace").await;
    let ready = eventually("one webhook is current, one fails, a feed runs", async || {
        let ready = world.get("/ready").await.body;
        let (webhooks, feeds) = (&ready["webhooks"][0], &ready["feeds"][0]);
        let told = webhooks["lag_events"] == 0 && webhooks["failing"] == 1 && feeds["open"] == 1;
        (told && webhooks["longest_lag_events"] == 2 && feeds["lag_events"] == 0).then_some(ready)
    })
    .await;
    assert_eq!((&ready["webhooks"][0]["enabled"], &ready["status"]), (&json!(2), &json!("ready")), "{ready}");
    eventually("the metrics tell, too", async || {
        let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        let told = [
            r#"inopsio_webhooks{service="crm",state="failing"} 1"#,
            r#"inopsio_webhook_lag_events{service="crm",state="any"} 2"#,
            r#"inopsio_webhook_lag_events{service="crm",state="healthy"} 0"#,
            r#"inopsio_webhook_deliveries_total{service="crm",result="delivered"} 2"#,
            r#"inopsio_feeds{service="crm"} 1"#,
            r#"inopsio_feed_lag_events{service="crm"} 0"#,
        ];
        told.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
    drop(feed);
}

/// The number of notices that are still to be sent, and how many of them failed.
async fn untold(world: &World) -> (i64, i64) {
    use sqlx::Connection;
    let mut connection = sqlx::PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let count = "SELECT count(*), count(*) FILTER (WHERE next_attempt_at > disabled_at) FROM webhooks.notices";
    let counted = sqlx::query_as(count).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    counted
}

#[tokio::test]
async fn a_tenants_owners_are_told_once_by_mail_that_a_webhook_was_disabled_by_itself() {
    let mails = MailServer::start().await;
    let url = mails.url();
    let world = World::start_with(|config| {
        config.webhooks.allow_private = true;
        config.mail.smtp_url = SecretText::new(url);
    })
    .await;
    for (name, role) in [("ada", "admin"), ("grace", "admin"), ("eve", "viewer")] {
        let user = json!({ "name": name, "email": format!("{name}@example.com"), "roles": [role] });
        assert_eq!(world.post("/v1/user/users", user).await.status, StatusCode::CREATED);
    }
    let told = || {
        let told = mails.mails().into_iter().filter(|mail| mail.data.contains("Subject: A webhook was disabled"));
        let mut told: Vec<_> = told.collect();
        told.sort_by(|one, other| one.to.cmp(&other.to));
        told
    };
    let gone = Receiver::answering(|_, _| Reply::Status("410 Gone")).await;
    let hook = json!({ "service": "crm", "url": gone.url, "description": "the warehouse" });
    let created = world.post("/v1/events/webhooks", hook).await;
    let path = format!("/v1/events/webhooks/{}", created.body["id"].as_str().unwrap());
    // At first, the mail server rejects the mails temporarily.
    mails.answer_recipients("451 later");
    world.lead("first").await;
    eventually("it is disabled", async || (world.get(&path).await.body["state"] == "disabled").then_some(())).await;
    eventually("it could not be told", async || (untold(&world).await == (1, 1)).then_some(())).await;
    mails.answer_recipients("250 OK");
    eventually("both owners were told", async || (told().len() == 2 && untold(&world).await.0 == 0).then_some(()))
        .await;
    let to: Vec<_> = told().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, ["ada@example.com", "grace@example.com"]);
    for mail in told() {
        let text = mail.data.replace("=\r\n", "");
        assert!(
            text.contains("410") && text.contains("(the warehouse)") && text.contains(&format!("{path}/enable")),
            "{text}"
        );
        assert!(!text.contains(&gone.url), "an address may be a secret: {text}");
    }

    // If it is disabled automatically again, mails are sent again; if a person disables it, none are sent.
    assert_eq!(world.post(&format!("{path}/enable"), json!({})).await.status, StatusCode::OK);
    eventually("they were told again", async || (told().len() == 4 && untold(&world).await.0 == 0).then_some(())).await;
    let ids =
        |mail: &testbed::ReceivedMail| mail.data.lines().find(|line| line.starts_with("Message-ID")).map(str::to_owned);
    let ids: std::collections::BTreeSet<_> = told().iter().filter_map(ids).collect();
    assert_eq!(ids.len(), 4, "each is a mail of its own: {ids:?}");
    assert_eq!(world.post(&format!("{path}/disable"), json!({ "reason": "moved" })).await.status, StatusCode::OK);
    assert_eq!((untold(&world).await, told().len()), ((0, 0), 4));
}

/// Waits until every process refuses a tenant's token because the tenant is suspended.
pub async fn is_shut_out(world: &World, token: &str) {
    for server in [&world.server, &world.behind].into_iter().flatten() {
        let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", server.addr());
        eventually("it is shut out", async || {
            let answer = Answer::of(world.client.get(&url).bearer_auth(token)).await;
            (answer.code() == "tenant_suspended").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn attack_215_webhooks_of_a_tenant_that_is_shut_out_get_nothing_until_it_is_admitted_and_then_everything() {
    let world = Box::pin(town_with(|config| config.webhooks.allow_private = true)).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let ours = token(&world.config, globex.tenant_id, &[Role::Admin]);
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    let (receiver, others) = (Receiver::start().await, Receiver::start().await);
    for (url, token) in [(&receiver.url, ours.clone()), (&others.url, world.token(&[Role::Admin]))] {
        let create = world.anonymous(Method::POST, "/v1/events/webhooks").bearer_auth(token);
        let created = Answer::of(create.json(&json!({ "service": "crm", "url": url }))).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    }
    // As sagas do for a tenant that is shut out, too.
    let (settings, clock) = (world.config.log_settings(), Arc::new(SystemClock));
    let store = EventStore::open(&world.database, settings, clock).await.unwrap();
    let happens = async || {
        let before = store.head().await.unwrap().0;
        lanterns::append(&store, globex.tenant_id).await;
        (before + 1..=store.head().await.unwrap().0).collect::<Vec<u64>>()
    };
    let mut all = happens().await;
    eventually("all arrive", async || (receiver.positions() == all).then_some(())).await;
    for (nth, deleted) in [false, true].into_iter().enumerate() {
        if deleted {
            gateway::delete(&world.config, "globex", "contract ended", 30).await.unwrap();
        } else {
            gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
        }
        is_shut_out(&world, &ours).await;
        let missed = happens().await;
        world.lead("Ada").await;
        eventually("the neighbour's arrives", async || (others.got().len() == nth + 1).then_some(())).await;
        assert_eq!(receiver.positions(), all);
        if deleted {
            gateway::restore(&world.config, "globex").await.unwrap();
        } else {
            gateway::resume(&world.config, &globex).await.unwrap();
        }
        all.extend(missed);
        eventually("what was missed arrives", async || (receiver.positions() == all).then_some(())).await;
    }
    store.close().await;
}

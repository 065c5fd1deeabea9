//! A front before several cells: forwards a tenant's requests to its cell, and learns at once of moves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use config::{Cell, SecretText};
use directory::moving::{COPIED_TABLES, Mover, NOT_COPIED_TABLES};
use directory::place::Placed;
use directory::{Directory, Placements};
use eventstore::LockKey;
use futures::StreamExt;
use gateway::{Server, Services};
use kernel::{Role, SystemClock, SystemIds};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use testbed::eventually;
use user_commands::{Link, LinkKey, Purpose};
use uuid::Uuid;

use crate::remote::stand_in;
use crate::websocket::Socket;
use crate::world::{Answer, World};

/// Within this time a front, or a cell, knows a tenant's placement: a second, plus a margin for a machine that runs other tests, too.
const LEARNT: Duration = Duration::from_secs(5);

fn cell(urls: String) -> Cell {
    Cell { urls, admin_url: SecretText::default(), nats_url: SecretText::default() }
}

/// A cell, and a front before it and a second cell that does not answer; the world's requests go to the front.
async fn before_cells() -> (World, Server, String) {
    let mut world = World::start().await;
    let direct = world.url.clone();
    let front = front_of(&mut world, direct.clone()).await;
    (world, front, direct)
}

/// A front before the cell at this address, in which the world's tenant lives, and one that does not answer.
async fn front_of(world: &mut World, west: String) -> Server {
    let mut config = world.config.clone();
    config.directory.cell = Some("west".to_owned());
    config.cells.insert("west".to_owned(), cell(west));
    config.cells.insert("east".to_owned(), cell(format!("http://127.0.0.1:{}", testbed::free_port())));
    let front = Server::start(config, Services::Cells).await.unwrap();
    world.url = format!("http://{}", front.addr());
    front
}

/// A cell that answers everything with 200, and keeps the heads of requests other than health checks.
async fn listening() -> (String, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let kept = heads.clone();
    let url = stand_in(true, move |head| kept.lock().unwrap().push(head)).await;
    (url, heads)
}

/// Records that the tenant moved from the cell west to the cell east.
async fn lives_in_east(world: &World) {
    let placements = Placements::of(&Directory::open(&world.config));
    let place = placements.place(world.tenant).await.unwrap();
    let begun = place.begin("west", "east").unwrap().unwrap();
    let place = placements.note(world.tenant, place, begun, &SystemClock).await.unwrap();
    placements.note(world.tenant, place, Placed::Moved, &SystemClock).await.unwrap();
}

#[tokio::test]
async fn every_table_with_rows_of_tenants_goes_along_with_a_move_or_is_made_again() {
    let world = World::start().await;
    let listed: Vec<_> =
        COPIED_TABLES.iter().map(|(table, _)| *table).chain(NOT_COPIED_TABLES.iter().copied()).collect();
    let (mut found, mut unlisted) = (BTreeSet::new(), Vec::new());
    for domain in gateway::domains() {
        let service = domain.service.name();
        let mut connection = PgConnection::connect_with(&world.of(service).superuser()).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT n.nspname || '.' || c.relname
             FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
             WHERE c.relkind IN ('r', 'p')",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for table in tables {
            // Read models, which are in the schema of their service, are rebuilt from events.
            if !table.starts_with(&format!("{service}.")) && !listed.contains(&table.as_str()) {
                unlisted.push(format!("{service}: {table}"));
            }
            found.insert(table);
        }
    }
    assert!(
        unlisted.is_empty(),
        "a tenant that moves to another cell loses what it has here: {unlisted:#?}\nlist each in COPIED_TABLES or \
         NOT_COPIED_TABLES of directory/src/moving/side_tables.rs"
    );
    let gone: Vec<_> = listed.iter().filter(|table| !found.contains(**table) && **table != "log.archived").collect();
    assert!(gone.is_empty(), "no service has these tables: {gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_asks_reaches_its_cell_through_the_front() {
    let (world, front, _) = Box::pin(before_cells()).await;
    let lead = world.lead("Ada").await;
    assert_eq!(world.get(&format!("/v1/crm/leads/{lead}")).await.body["name"], "Ada");
    let strange =
        Answer::of(world.anonymous(Method::GET, &format!("/v1/crm/leads/{lead}")).bearer_auth("nonsense")).await;
    assert_eq!(strange.status, StatusCode::UNAUTHORIZED);
    let nobody =
        Answer::of(world.anonymous(Method::GET, &format!("/v1/crm/leads/{lead}")).bearer_auth(world.stranger()));
    assert_eq!(nobody.await.status, StatusCode::NOT_FOUND);
    // An earlier health check may have seen it as not ready.
    eventually("the cell says that it is ready", async || {
        (world.get("/ready").await.body["cells"]["west"][0]["state"] == "up").then_some(())
    })
    .await;
    for path in ["/openapi.json", "/t/acme/jwks", "/health", "/ready"] {
        let status = Answer::of(world.anonymous(Method::GET, path)).await.status;
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    let metrics = world.get("/metrics").await.body.as_str().unwrap().to_owned();
    assert!(metrics.contains(r#"inopsio_pool_connections_max{service="directory",pool="directory"}"#), "{metrics}");

    // Other upgrades that clients offer are not treated as WebSockets.
    let offered = world.request(Method::GET, &format!("/v1/crm/leads/{lead}"));
    let offered = Answer::of(offered.header("connection", "upgrade, http2-settings").header("upgrade", "h2c")).await;
    assert_eq!((offered.status, offered.body["name"].as_str()), (StatusCode::OK, Some("Ada")));

    let _socket = Socket::bearing(&world, &world.token(&[Role::Admin])).await;
    let upgrade = world
        .anonymous(Method::GET, "/graphql")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "graphql-transport-ws");
    let unnamed = Answer::of(upgrade).await;
    assert_eq!((unnamed.status, unnamed.code()), (StatusCode::BAD_REQUEST, "tenant_unnamed"));

    let feed = world.request(Method::GET, "/v1/events?after=0&types=crm.lead.*").send().await.unwrap();
    assert_eq!(feed.headers()["content-type"], "text/event-stream");
    let mut bytes = feed.bytes_stream();
    let mut text = String::new();
    while !text.contains("crm.lead.captured") {
        let more = tokio::time::timeout(Duration::from_secs(20), bytes.next()).await.expect("the feed goes on");
        text += &String::from_utf8_lossy(&more.unwrap().unwrap());
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_knows_a_request_and_a_websocket_by_the_id_and_the_trace_that_they_have_at_the_front() {
    let mut world = World::start().await;
    let (west, heads) = listening().await;
    let front = front_of(&mut world, west).await;
    let (id, trace) = (Uuid::from_u128(7).to_string(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let socket = || {
        world
            .request(Method::GET, "/graphql")
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let request = || world.request(Method::GET, "/v1/crm/leads");
    for request in [request(), socket()] {
        assert_eq!(Answer::of(request).await.status, StatusCode::OK);
    }
    for request in [request(), socket()] {
        let known = request.header("x-request-id", &id).header("traceparent", trace);
        assert_eq!(Answer::of(known).await.status, StatusCode::OK);
    }
    let heads = heads.lock().unwrap().clone();
    let named = |head: &str, wanted: &str| -> Vec<String> {
        let values = head.lines().filter_map(|line| line.split_once(": ")).filter(|(name, _)| *name == wanted);
        values.map(|(_, value)| value.to_owned()).collect()
    };
    assert_eq!(heads.len(), 4, "{heads:?}");
    for (nth, head) in heads.iter().enumerate() {
        let ids = named(head, "x-request-id");
        assert!(ids.len() == 1 && ids[0].parse::<Uuid>().is_ok(), "{head}");
        let known = nth >= 2;
        assert_eq!((ids[0] == id, named(head, "traceparent") == [trace]), (known, known), "{head}");
    }
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_learns_at_once_that_a_tenant_lives_elsewhere_and_a_cell_that_it_has_left() {
    let (world, front, direct) = Box::pin(before_cells()).await;
    let lead = world.lead("Ada").await;
    let path = format!("/v1/crm/leads/{lead}");

    // The cell has only an old copy of the tenant: requests there are refused, and an open connection ends.
    let mut socket = Socket::bearing(&world, &world.token(&[Role::Admin])).await;
    let leave = format!("INSERT INTO log.closed (tenant_id, state, cell) VALUES ('{}', 'left', 'east')", world.tenant);
    world.of("user").superuser().connect().await.unwrap().execute(leave.as_str()).await.unwrap();
    let refused = eventually("the cell knows that the tenant has left", async || {
        let asked = world.client.get(format!("{direct}{path}")).bearer_auth(world.token(&[Role::Admin]));
        let answer = Answer::of(asked).await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    });
    let refused = tokio::time::timeout(LEARNT, refused).await.unwrap();
    assert_eq!((refused.code(), refused.header("retry-after")), ("tenant_elsewhere", "1"));
    let closed = async { while socket.hear().await.get("closed").is_none() {} };
    tokio::time::timeout(LEARNT, closed).await.expect("the connection ends");

    // The cell map changes: the front now forwards to the other cell, which is down.
    let placements = Placements::of(&Directory::open(&world.config));
    let mut place = placements.place(world.tenant).await.unwrap();
    let begun = place.begin("west", "east").unwrap().unwrap();
    let stale = place.clone();
    place = placements.note(world.tenant, place, begun.clone(), &SystemClock).await.unwrap();
    assert!(placements.note(world.tenant, stale, begun, &SystemClock).await.is_err(), "something happened meanwhile");
    placements.note(world.tenant, place, Placed::Moved, &SystemClock).await.unwrap();
    let away = eventually("the front knows where the tenant lives", async || {
        let answer = world.get(&path).await;
        (answer.code() == "service_unreachable").then_some(answer)
    });
    let away = tokio::time::timeout(LEARNT, away).await.unwrap();
    assert_eq!((away.status, away.body["service"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("cell_east")));
    front.shutdown().await;
}

/// The requests of people who follow a mailed link: they have no token, and no path names their tenant.
async fn followed(world: &World, link: &str) -> Vec<Answer> {
    let page = |path: &str| world.anonymous(Method::GET, &format!("{path}?link={link}"));
    let operation = |path: &str, body| world.anonymous(Method::POST, path).json(&body);
    let mut answers = Vec::new();
    for request in [
        page("/invitation"),
        page("/verify-email"),
        operation("/v1/user/invitations/accept", json!({ "link": link, "name": "Ada" })),
        operation("/v1/user/email/verify", json!({ "link": link })),
    ] {
        answers.push(Answer::of(request).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailed_link_leads_to_the_cell_of_its_tenant() {
    let (world, front, _) = Box::pin(before_cells()).await;
    let link = Link { purpose: Purpose::Invitation, tenant: world.tenant, id: Uuid::from_u128(7), turn: 1 };
    let ours = LinkKey::derive(&config::claim_key(&world.config).unwrap()).write(&link);
    let before = world.head().await;
    let here = followed(&world, &ours).await;
    assert!(here.iter().all(|answer| answer.code() != "service_unreachable"), "{here:?}");
    // The front verifies nothing, but the cell does. It gets the whole body, also where the link names no tenant.
    let forged = LinkKey::derive(&[7; 32]).write(&link);
    for forged in [&*forged, "nonsense"] {
        let answers = followed(&world, forged).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
        assert_eq!(statuses, [410, 410, 409, 409], "{forged}: {answers:?}");
        assert!(answers[2..].iter().all(|answer| answer.code() == "link_not_good"), "{answers:?}");
    }
    assert_eq!(world.head().await, before, "something was written");

    lives_in_east(&world).await;
    let away = eventually("the front asks the other cell, which is down", async || {
        let answers = followed(&world, &ours).await;
        answers.iter().all(|answer| answer.code() == "service_unreachable").then_some(answers)
    });
    let away = tokio::time::timeout(LEARNT, away).await.unwrap();
    assert!(away.iter().all(|answer| answer.body["service"] == "cell_east"), "{away:?}");

    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_name_of_who_is_deleted_leads_to_whoever_has_it_next() {
    let (world, front, _) = Box::pin(before_cells()).await;
    let jwks = async || Answer::of(world.anonymous(Method::GET, "/t/acme/jwks")).await;
    assert_eq!(jwks().await.status, StatusCode::OK);
    let directory = Directory::open(&world.config);
    let placements = Placements::of(&directory);
    let place = placements.place(world.tenant).await.unwrap();
    let deleted = Placed::Deleted { slug: "acme".to_owned(), services: Vec::new() };
    placements.note(world.tenant, place, deleted, &SystemClock).await.unwrap();
    // The same short name in the other cell, which is down.
    let mut config = world.config.clone();
    config.directory.cell = Some("east".to_owned());
    Directory::open(&config).create("acme", "Acme", &SystemClock, &SystemIds).await.unwrap();
    let away = eventually("the front asks the other cell", async || {
        let answer = jwks().await;
        (answer.code() == "service_unreachable").then_some(answer)
    });
    let away = tokio::time::timeout(LEARNT, away).await.unwrap();
    assert_eq!((away.status, away.body["service"].as_str()), (StatusCode::SERVICE_UNAVAILABLE, Some("cell_east")));
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_issues_nothing_for_a_tenant_of_another_whatever_strangers_ask() {
    let world = World::start_with(|config| config.directory.cell = Some("west".to_owned())).await;
    lives_in_east(&world).await;
    let mut auth = world.auth.superuser().connect().await.unwrap();
    let keys = "SELECT count(*) FROM log.events WHERE aggregate_type = 'auth.key_ring'";
    let before: i64 = sqlx::query_scalar(keys).fetch_one(&mut auth).await.unwrap();
    for path in ["/t/acme/jwks", "/t/%61cme/jwks", "/t/acme/.well-known/openid-configuration"] {
        let answer = Answer::of(world.anonymous(Method::GET, path)).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
    }
    let after: i64 = sqlx::query_scalar(keys).fetch_one(&mut auth).await.unwrap();
    assert_eq!(after, before, "a key that could not be taken along, nor taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_what_is_away_or_is_the_same_cell_is_not_even_begun() {
    let world = World::start().await;
    let mut config = world.config.clone();
    let here = world.database.superuser().to_url_lossy().to_string();
    let away = format!("postgres://postgres@127.0.0.1:{}/postgres", testbed::free_port());
    config.directory.cell = Some("west".to_owned());
    for (name, url) in [("west", &here), ("east", &away), ("again", &here)] {
        let cell = Cell {
            admin_url: serde_json::from_value(url.as_str().into()).unwrap(),
            ..cell("http://127.0.0.1:9".to_owned())
        };
        config.cells.insert(name.to_owned(), cell);
    }
    let mover = Mover::new(&config, gateway::holdings(), &SystemClock);
    for (to, why) in [("east", "in the cell east"), ("again", "are the same Postgres"), ("north", "those are again")] {
        let refused = mover.go("acme", to, &|_| {}).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{to}: {refused}");
    }
    let place = Placements::of(&Directory::open(&config)).place(world.tenant).await.unwrap();
    assert!(place.moving.is_none(), "{place:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_not_taken_back_while_postgres_still_commits_its_cutover() {
    let world = World::start().await;
    let mut config = world.config.clone();
    let here = world.database.superuser().to_url_lossy().to_string();
    let west = Cell { admin_url: SecretText::new(here), ..cell("http://127.0.0.1:9".to_owned()) };
    config.directory.cell = Some("west".to_owned());
    config.cells.insert("west".to_owned(), west);
    let placements = Placements::of(&Directory::open(&config));
    let place = placements.place(world.tenant).await.unwrap();
    let begun = place.begin("west", "east").unwrap().unwrap();
    placements.note(world.tenant, place, begun, &SystemClock).await.unwrap();
    // The pause has no end any more, and the mover is lost before it knows whether the cutover is recorded.
    let mut crm = world.database.superuser().connect().await.unwrap();
    let pause =
        format!("INSERT INTO log.closed (tenant_id, state, cell) VALUES ('{}', 'paused', 'east')", world.tenant);
    crm.execute(pause.as_str()).await.unwrap();
    let mut lost = world.directory.superuser().connect().await.unwrap();
    lost.execute("BEGIN").await.unwrap();
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LockKey::Placing.number());
    lock.execute(&mut lost).await.unwrap();
    let cutover = sqlx::query(
        "INSERT INTO placements (position, tenant_id, sequence, event, cell, recorded_at)
         SELECT max(position) + 1, $1, 2, '{\"event\": \"moved\"}'::jsonb, 'east', now() FROM placements",
    );
    cutover.bind(world.tenant.uuid()).execute(&mut lost).await.unwrap();

    let one = PgPoolOptions::new().max_connections(1);
    let observer = one.connect_with(world.directory.superuser()).await.unwrap();
    let committed = async {
        eventually("who takes it back waits for that", async || {
            let waits = "SELECT true FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1";
            sqlx::query_scalar::<_, bool>(waits).fetch_optional(&observer).await.unwrap()
        })
        .await;
        lost.execute("COMMIT").await.unwrap();
    };
    let mover = Mover::new(&config, gateway::holdings(), &SystemClock);
    let (taken_back, ()) = tokio::join!(mover.undo("acme"), committed);
    let refused = taken_back.unwrap_err().to_string();
    assert!(refused.contains("lives in the cell east already"), "{refused}");
    let paused = "SELECT count(*) FROM log.closed WHERE state = 'paused'";
    let paused: i64 = sqlx::query_scalar(paused).fetch_one(&mut crm).await.unwrap();
    assert_eq!(paused, 1, "the tenant writes in the cell that it has left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_without_cells_does_not_start() {
    let world = World::start().await;
    let refused = Server::start(world.config.clone(), Services::Cells).await.err().unwrap();
    assert!(refused.to_string().contains("[cells.<name>]"), "{refused}");
}

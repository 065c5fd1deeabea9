//! Tenants' commands on endpoints, and their refusals.

use eventstore::admin::Mode;
use kernel::{Caller, Position, Refusal, Role, Versions};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;
use webhooks::{EndpointCommand, EndpointFields, Guard, Request, Settings};

use crate::world::{World, fields, quick, request};

const URL: &str = "https://hooks.example.com/inopsio";

async fn strict() -> World {
    World::idle(Settings { guard: Guard::default(), ..quick() }).await
}

/// Checks that a command is refused, and that nothing was written.
async fn refused(world: &World, request: &Request, act: EndpointCommand) -> Refusal {
    let before = (world.count("endpoints").await, world.count("changes").await, world.count("commands").await);
    let refusal = world.webhooks.carry_out(request, act).await.unwrap_err();
    let after = (world.count("endpoints").await, world.count("changes").await, world.count("commands").await);
    assert_eq!(before, after, "a refusal writes nothing");
    refusal
}

#[tokio::test]
async fn the_same_request_is_carried_out_once_and_shows_its_secret_again_to_nobody_else() {
    let world = strict().await;
    let create = || EndpointCommand::Create { fields: fields(URL), after: None };
    let keyed = Request { command_id: Some("one".to_owned()), ..world.request() };
    let first = world.webhooks.carry_out(&keyed, create()).await.unwrap();
    let again = world.webhooks.carry_out(&keyed, create()).await.unwrap();
    assert_eq!((&first.changed, first.repeated, again.repeated), (&again.changed, false, true));
    assert_eq!(world.count("endpoints").await, 1);
    let other = Request { request_hash: [2; 32], ..keyed.clone() };
    assert_eq!(refused(&world, &other, create()).await.code(), "idempotency_key_reused");
    // Two concurrent requests create one endpoint.
    let keyed = Request { command_id: Some("two".to_owned()), ..world.request() };
    let (one, two) =
        tokio::join!(world.webhooks.carry_out(&keyed, create()), world.webhooks.carry_out(&keyed, create()));
    assert_eq!(one.unwrap().changed, two.unwrap().changed);
    assert_eq!(world.count("endpoints").await, 2);
    // The key of a refused request may be used again, for a corrected one.
    let keyed = Request { command_id: Some("three".to_owned()), ..world.request() };
    refused(&world, &keyed, EndpointCommand::Create { fields: fields("http://10.0.0.1"), after: None }).await;
    assert!(!world.webhooks.carry_out(&keyed, create()).await.unwrap().repeated);
}

#[tokio::test]
async fn what_is_asked_for_while_a_tenant_moves_is_refused_as_its_commands_are() {
    let world = strict().await;
    let id = world.endpoint(URL).await.id;
    world.begin_move().await;
    let create = || EndpointCommand::Create { fields: fields(URL), after: None };
    let keyed = Request { command_id: Some("one".to_owned()), ..world.request() };
    for act in [
        create(),
        EndpointCommand::Change { id, fields: fields(URL) },
        EndpointCommand::Enable { id },
        EndpointCommand::Disable { id, reason: "maintenance".to_owned() },
        EndpointCommand::RotateSecret { id, overlap_hours: 0 },
        EndpointCommand::Replay { id, after: Position::START },
        EndpointCommand::Remove { id },
    ] {
        for request in [&world.request(), &keyed] {
            assert_eq!(refused(&world, request, act.clone()).await.code(), "tenant_moving", "{act:?}");
        }
    }
    assert_eq!((world.store.head().await.unwrap(), world.find(id).await.version), (Position::START, 1));
    world.webhooks.carry_out(&request(testbed::tenant(), Role::Admin), create()).await.unwrap();
    world.cancel_move().await;
    assert!(!world.webhooks.carry_out(&keyed, create()).await.unwrap().repeated);
}

#[tokio::test]
async fn requests_of_long_ago_are_forgotten_with_their_answers() {
    let world = World::idle(quick()).await;
    for id in ["lately", "long ago"] {
        let keyed = Request { command_id: Some(id.to_owned()), ..world.request() };
        world.webhooks.carry_out(&keyed, EndpointCommand::Create { fields: fields(URL), after: None }).await.unwrap();
    }
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let age =
        "UPDATE webhooks.commands SET recorded_at = recorded_at - make_interval(days => $2) WHERE command_id = $1";
    for (id, days) in [("lately", 29), ("long ago", 31)] {
        sqlx::query(age).bind(id).bind(days).execute(&mut superuser).await.unwrap();
    }
    world.deliver();
    testbed::eventually("one is forgotten, and not the other", async || {
        let mut looking = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
        let ids = sqlx::query_scalar("SELECT command_id FROM webhooks.commands");
        let ids: Vec<String> = ids.fetch_all(&mut looking).await.unwrap();
        (ids == ["lately"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn versions_are_counted_and_insisted_on() {
    let world = strict().await;
    let created = world.act(EndpointCommand::Create { fields: fields(URL), after: None }).await;
    assert_eq!(created.version, 1);
    let insisting = |version: u64| Request { if_match: Some(Versions::from(version)), ..world.request() };
    let change = || EndpointCommand::Change {
        id: created.id,
        fields: EndpointFields {
            types: vec!["demo.lamp.*".to_owned()],
            description: "the warehouse".to_owned(),
            ..fields(URL)
        },
    };
    assert_eq!(refused(&world, &insisting(2), change()).await.code(), "version_differs");
    assert_eq!(
        refused(&world, &insisting(1), EndpointCommand::Create { fields: fields(URL), after: None }).await.code(),
        "header_invalid"
    );
    let changed = world.webhooks.carry_out(&insisting(1), change()).await.unwrap().changed;
    assert_eq!((changed.version, changed.secret), (2, None));
    let endpoint = world.find(created.id).await;
    assert_eq!((endpoint.version, endpoint.description.as_str()), (2, "the warehouse"));
    assert_eq!(endpoint.types.as_slice(), ["demo.lamp.*"]);
    assert_eq!(endpoint.url, URL);
}

#[tokio::test]
async fn what_is_not_allowed_is_named_and_nothing_is_written() {
    let world = strict().await;
    let created = world.act(EndpointCommand::Create { fields: fields(URL), after: None }).await;
    let create = |fields| EndpointCommand::Create { fields, after: None };
    for url in
        ["http://hooks.example.com", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://db/", "nonsense"]
    {
        let refusal = refused(&world, &world.request(), create(fields(url))).await;
        assert_eq!((refusal.errors()[0].pointer.as_str(), refusal.errors()[0].code), ("/url", "url"), "{url}");
        let change = EndpointCommand::Change { id: created.id, fields: fields(url) };
        assert_eq!(refused(&world, &world.request(), change).await.errors()[0].code, "url");
    }
    let several = EndpointFields {
        types: vec!["demo.lamp.lit".to_owned(), "demo.lamps.*".to_owned()],
        description: "x".repeat(201),
        ..fields("")
    };
    let refusal = refused(&world, &world.request(), create(several)).await;
    let pointers: Vec<_> = refusal.errors().iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/url", "/description", "/types/1"]);
    let id = created.id;
    for (act, code) in [
        (EndpointCommand::Create { fields: fields(URL), after: Some(Position(1)) }, "position_ahead"),
        (EndpointCommand::Replay { id, after: Position(7) }, "position_ahead"),
        (EndpointCommand::RotateSecret { id, overlap_hours: 169 }, "validation_failed"),
        (EndpointCommand::Disable { id, reason: "a\u{7}b".to_owned() }, "validation_failed"),
        (EndpointCommand::Enable { id: Uuid::nil() }, "not_found"),
        (EndpointCommand::Remove { id: Uuid::nil() }, "not_found"),
    ] {
        assert_eq!(refused(&world, &world.request(), act.clone()).await.code(), code, "{act:?}");
    }
    for _ in 1..50 {
        world.act(create(fields(URL))).await;
    }
    assert_eq!(refused(&world, &world.request(), create(fields(URL))).await.code(), "too_many_webhooks");
}

#[tokio::test]
async fn a_role_may_what_the_table_says_and_a_tenant_sees_only_its_own() {
    let world = strict().await;
    let created = world.act(EndpointCommand::Create { fields: fields(URL), after: None }).await;
    for role in [Role::Manager, Role::Member, Role::Viewer, Role::Auditor] {
        let act = EndpointCommand::Remove { id: created.id };
        assert_eq!(refused(&world, &request(world.tenant, role), act).await.code(), "permission_missing");
    }
    let stranger = testbed::tenant();
    for act in [
        EndpointCommand::Remove { id: created.id },
        EndpointCommand::RotateSecret { id: created.id, overlap_hours: 1 },
        EndpointCommand::Change { id: created.id, fields: fields(URL) },
    ] {
        assert_eq!(refused(&world, &request(stranger, Role::Admin), act).await.code(), "not_found");
    }
    assert_eq!(world.webhooks.find(stranger, created.id).await.unwrap(), None);
    assert_eq!(world.webhooks.list(stranger).await.unwrap(), []);
    assert_eq!(world.webhooks.ping(stranger, created.id).await.unwrap_err().code(), "not_found");

    // Row level security, whatever a statement forgets: without the setting there are no rows, and readers can't read secrets at all.
    let service_roles = [eventstore::Role::Configure, eventstore::Role::Read];
    for role in service_roles {
        let mut connection = PgConnection::connect_with(&world.database.options(role)).await.unwrap();
        for table in ["cursors", "deliveries", "changes"] {
            let rows: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM webhooks.{table}"))
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(rows, 0, "{role:?} {table}");
        }
    }
    let mut reader = PgConnection::connect_with(&world.database.options(eventstore::Role::Read)).await.unwrap();
    for secret in [
        "SELECT secret FROM webhooks.endpoints",
        "SELECT * FROM webhooks.commands",
        "SELECT * FROM webhooks.notices",
        "DELETE FROM webhooks.cursors",
    ] {
        let error = sqlx::query(secret).fetch_all(&mut reader).await.unwrap_err();
        assert!(error.to_string().contains("permission denied"), "{secret}: {error}");
    }
}

#[tokio::test]
async fn attack_171_who_may_not_read_events_gets_none_by_a_webhook_and_no_secret_to_forge_them() {
    let world = strict().await;
    let id = world.act(EndpointCommand::Create { fields: fields(URL), after: None }).await.id;
    let caller = Caller::new(world.tenant, "keeper", &[Role::Admin], webhooks::GRANTS);
    let keeper = Request { caller, ..world.request() };
    for act in [
        EndpointCommand::Create { fields: fields(URL), after: None },
        EndpointCommand::Change { id, fields: fields("https://elsewhere.example.com/") },
        EndpointCommand::Enable { id },
        EndpointCommand::Replay { id, after: Position(0) },
        EndpointCommand::RotateSecret { id, overlap_hours: 24 },
    ] {
        let refusal = refused(&world, &keeper, act.clone()).await;
        assert_eq!(
            (refusal.code(), &refusal.extra()["permission"]),
            ("permission_missing", &"demo:history:read".into()),
            "{act:?}"
        );
    }
    for act in [EndpointCommand::Disable { id, reason: String::new() }, EndpointCommand::Remove { id }] {
        world.webhooks.carry_out(&keeper, act).await.unwrap();
    }
}

#[tokio::test]
async fn tables_of_an_earlier_program_are_said_to_be_migrated_before_they_are() {
    let world = strict().await;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    sqlx::query("DROP TABLE webhooks.notices").execute(&mut superuser).await.unwrap();
    for (mode, missing) in [(Mode::DryRun, true), (Mode::Apply, true), (Mode::DryRun, false)] {
        let found = webhooks::migrate(&world.database.admin(), &world.database, mode).await.unwrap();
        assert_eq!(found, missing, "{mode:?}");
    }
}

#[tokio::test]
async fn a_secret_that_was_rotated_is_nowhere_any_more() {
    let world = strict().await;
    let keyed = Request { command_id: Some("one".to_owned()), ..world.request() };
    let create = || EndpointCommand::Create { fields: fields(URL), after: None };
    let first = world.webhooks.carry_out(&keyed, create()).await.unwrap().changed;
    let mut superuser = PgConnection::connect_with(&world.database.superuser()).await.unwrap();
    let mut holding = async |secret: &str| -> i64 {
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, secret.strip_prefix("whsec_").unwrap());
        sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM webhooks.endpoints WHERE secret = $1 OR former_secret = $1)
                  + (SELECT count(*) FROM webhooks.commands WHERE answer LIKE '%' || $2 || '%')
                  + (SELECT count(*) FROM webhooks.changes WHERE detail::text LIKE '%' || $2 || '%')",
        )
        .bind(bytes.unwrap())
        .bind(secret)
        .fetch_one(&mut superuser)
        .await
        .unwrap()
    };
    let secret = first.secret.clone().unwrap();
    assert_eq!(holding(&secret).await, 2, "where it is used, and in the stored answer");
    world.act(EndpointCommand::RotateSecret { id: first.id, overlap_hours: 0 }).await;
    assert_eq!(holding(&secret).await, 0);
    let again = world.webhooks.carry_out(&keyed, create()).await.unwrap();
    assert_eq!((again.changed.id, again.changed.secret, again.repeated), (first.id, None, true));
}

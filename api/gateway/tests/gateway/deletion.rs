//! Deletion of a tenant: locked out within a second, destroyed in every service after the grace period, and recorded for ever.

use std::sync::Arc;

use directory::moving::{MoveError, Mover};
use directory::place::{Placed, PlacingError};
use directory::{Directory, DirectoryError, Placements, PlacementsError, RestoredTenant, Tenant, TenantStanding};
use eventstore::EventStore;
use gateway::{Deletion, ProvisionError, Server, Services};
use kernel::{Role, SystemClock, TenantId};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{ConnectOptions, Row};

use crate::provisioning::{town, within_a_second};
use crate::standing::Open;
use crate::world::{Answer, World, token};

/// What the services have of a tenant, besides the bytes of its history: the tables with rows of it, and how many.
async fn belongings(world: &World, tenant: TenantId) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for service in gateway::SERVICES {
        let mut superuser = world.of(service.name()).superuser().connect().await.unwrap();
        let tables = sqlx::query(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
             WHERE c.relkind IN ('r', 'p')
               AND format('%I.%I', n.nspname, c.relname) NOT IN ('log.events', 'log.archived', 'log.closed', 'log.copied')
             ORDER BY 1",
        )
        .fetch_all(&mut superuser)
        .await
        .unwrap();
        for table in tables {
            let table: String = table.get(0);
            let count: i64 = sqlx::query_scalar(&format!("SELECT count(*) FROM {table} WHERE tenant_id = $1"))
                .bind(tenant.uuid())
                .fetch_one(&mut superuser)
                .await
                .unwrap();
            if count > 0 {
                found.push((format!("{service}/{table}"), count));
            }
        }
    }
    found
}

/// A tenant with data of every kind.
async fn busy_tenant(world: &World) -> (Tenant, String) {
    let tenant = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let ours = token(&world.config, tenant.tenant_id, &[Role::Admin]);
    within_a_second(world, &ours, StatusCode::NOT_FOUND).await;
    for (path, body) in [
        ("/v1/crm/leads", json!({ "name": "Ada Lovelace", "email": "ada@example.com" })),
        ("/v1/crm/contacts", json!({ "name": "Grace Hopper", "email": "grace@example.com" })),
        ("/v1/crm/leads/export", json!({})),
        (
            "/v1/crm/follow-up/set",
            json!({ "escalate_after_days": 1, "escalate_to": "ada", "reassign_after_days": 1, "reassign_to": "eve" }),
        ),
        ("/v1/user/users", json!({ "name": "Mary", "email": "mary@example.com", "roles": ["admin"] })),
        ("/v1/user/invitations", json!({ "email": "joan@example.com" })),
        ("/v1/auth/machines", json!({ "name": "press", "roles": ["viewer"] })),
        ("/v1/events/webhooks", json!({ "service": "crm", "url": "https://globex.example.com/hook" })),
    ] {
        let answer = Answer::of(world.anonymous(Method::POST, path).bearer_auth(&ours).json(&body)).await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
    }
    (tenant, ours)
}

/// Waits until nothing is left of a tenant; on a timeout, shows the state of its deletion.
async fn gone(world: &World, tenant: TenantId) {
    let destroyed = testbed::eventually("it is destroyed everywhere", || async {
        belongings(world, tenant).await.is_empty().then_some(())
    });
    let told = async {
        tokio::time::sleep(std::time::Duration::from_secs(50)).await;
        let mut user = world.of("user").superuser().connect().await.unwrap();
        let where_it_is: Option<String> = sqlx::query_scalar(
            "SELECT to_jsonb(i)::text FROM saga.instances i WHERE tenant_id = $1 AND saga = 'delete_tenant'",
        )
        .bind(tenant.uuid())
        .fetch_optional(&mut user)
        .await
        .unwrap();
        panic!("not destroyed: {:?}, {where_it_is:?}", belongings(world, tenant).await);
    };
    tokio::select! {
        () = destroyed => {}
        () = told => {}
    }
}

/// Waits until a tenant has data in every service.
async fn has_something_everywhere(world: &World, tenant: TenantId) {
    testbed::eventually("it has something everywhere", || async {
        let has = belongings(world, tenant).await;
        let tables = [
            "crm/log.claims",
            "crm/log.commands",
            "crm/crm.lead",
            "crm/jobs.jobs",
            "crm/webhooks.endpoints",
            "user/log.claims",
            "user/\"user\".person",
            "user/saga.instances",
            "auth/auth.machine",
            "auth/log.commands",
        ];
        tables.iter().all(|table| has.iter().any(|(name, _)| name == table)).then_some(())
    })
    .await;
}

/// A request with a token of a deleted tenant is refused with that reason.
async fn is_told_to_be_deleted(world: &World, ours: &str) {
    testbed::eventually("it is said to be deleted", || async {
        let lead = world.anonymous(Method::GET, "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001");
        let answer = Answer::of(lead.bearer_auth(ours)).await;
        (answer.code() == "tenant_deleted").then(|| answer.assert_problem())
    })
    .await;
    world
        .refuses(vec![(
            world.anonymous(Method::POST, "/v1/crm/leads").bearer_auth(ours).json(&json!({ "name": "Eve" })),
            StatusCode::FORBIDDEN,
            "tenant_deleted",
        )])
        .await;
}

/// What remains: the bytes of its history, sealed, and the record of the deletion with their Merkle root.
async fn only_sealed_history_is_left(world: &World, directory: &Directory, globex: TenantId) {
    let unknown = directory.find("globex").await;
    assert!(matches!(&unknown, Err(DirectoryError::Unknown(_))), "{unknown:?}");
    let [told] = &Placements::of(directory).deleted().await.unwrap()[..] else { panic!("one") };
    assert_eq!((told.tenant_id, told.slug.as_str()), (globex.uuid(), "globex"));
    for service in ["crm", "auth"] {
        let history = eventstore::history(world.of(service), globex).await.unwrap();
        let kept = told.services.iter().find(|kept| kept.service == service).unwrap();
        assert_eq!((kept.events, &kept.root), (history.events, &hex::encode(history.root)), "{service}");
        assert!(history.events > 0);
    }
    let mut crm = world.of("crm").superuser().connect().await.unwrap();
    let sealed: Vec<String> = sqlx::query_scalar(
        "SELECT payload::text FROM log.events WHERE tenant_id = $1 AND event_type = 'crm.lead.captured'",
    )
    .bind(globex.uuid())
    .fetch_all(&mut crm)
    .await
    .unwrap();
    assert!(sealed.len() == 1 && sealed[0].contains("sealed") && !sealed[0].contains("Ada"), "{sealed:?}");
}

/// Rebuilds all read models.
async fn rebuild_all(world: &World) {
    let admin = world.config.postgres.admin_url.reveal().parse().unwrap();
    for domain in gateway::domains() {
        let database = world.of(domain.service.name());
        let store = EventStore::open(database, world.config.log_settings(), Arc::new(SystemClock)).await.unwrap();
        for projection in &domain.projections {
            projector::rebuild(&admin, database, &store, projection.as_ref(), |_| {}).await.unwrap();
        }
        store.close().await;
    }
}

/// A process that starts later knows of the deletion.
async fn later_processes_know(world: &World, ours: &str) {
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", later.addr());
    testbed::eventually("the later one knows", || async {
        (Answer::of(world.client.get(&url).bearer_auth(ours)).await.code() == "tenant_deleted").then_some(())
    })
    .await;
    later.shutdown().await;
}

#[tokio::test]
async fn a_tenant_is_shut_out_and_destroyed_in_every_service_and_its_neighbour_notices_nothing() {
    let world = Box::pin(town()).await;
    let (globex, ours) = busy_tenant(&world).await;
    let lead = world.lead("a neighbour's").await;
    has_something_everywhere(&world, globex.tenant_id).await;
    let (directory, [theirs, ours_too, anew]) = (Directory::open(&world.config), [1, 2, 3].map(uuid::Uuid::from_u128));
    let now = chrono::DateTime::UNIX_EPOCH;
    assert!(directory.hold("globex.example", (globex.tenant_id, theirs), &[theirs], now).await.unwrap());
    assert!(directory.hold("acme.example", (world.tenant, ours_too), &[ours_too], now).await.unwrap());
    let neighbours = belongings(&world, world.tenant).await;
    let (open, mut others) =
        (Open::bearing(&world, &ours).await, Open::bearing(&world, &world.token(&[Role::Admin])).await);
    let Deletion { tenant: deleted, .. } = gateway::delete(&world.config, "globex", "contract ended", 0).await.unwrap();
    assert_eq!(deleted, globex);
    open.end_within_a_second().await;
    others.go_on(&world).await;
    within_a_second(&world, &ours, StatusCode::FORBIDDEN).await;
    gone(&world, globex.tenant_id).await;
    is_told_to_be_deleted(&world, &ours).await;

    // The other tenant has all of its data, and can go on.
    for (table, before) in neighbours {
        let now = belongings(&world, world.tenant).await;
        assert!(now.iter().any(|(name, count)| *name == table && *count >= before), "{table}: {before}, {now:?}");
    }
    assert_eq!(world.get(&format!("/v1/crm/leads/{lead}")).await.status, StatusCode::OK);

    only_sealed_history_is_left(&world, &directory, globex.tenant_id).await;

    // Rebuilt read models do not contain the deleted tenant.
    rebuild_all(&world).await;
    assert_eq!(belongings(&world, globex.tenant_id).await, []);
    assert_eq!(world.get(&format!("/v1/crm/leads/{lead}")).await.status, StatusCode::OK);

    // A process that starts later knows of the deletion, and the short name is free again.
    later_processes_know(&world, &ours).await;
    let again = gateway::provision(&world.config, "globex", "Another", None).await.unwrap();
    assert_ne!(again.tenant_id, globex.tenant_id);
    // Its domain is free, too, even while the former DNS record still exists; another tenant's domain is not.
    let shown = [theirs, ours_too, anew];
    assert!(directory.hold("globex.example", (again.tenant_id, anew), &shown, now).await.unwrap());
    assert!(!directory.hold("acme.example", (again.tenant_id, anew), &shown, now).await.unwrap());
    testbed::eventually("everything is ready", async || {
        (world.get("/ready").await.body["status"] == "ready").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tenant_that_a_backup_brought_back_is_deleted_once_more() {
    let world = Box::pin(town()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let directory = Directory::open(&world.config);
    let placements = Placements::of(&directory);
    // The directory is newer than the restored backup.
    let place = placements.place(globex.tenant_id).await.unwrap();
    let deleted = Placed::Deleted { slug: "globex".to_owned(), services: Vec::new() };
    placements.note(globex.tenant_id, place, deleted, &SystemClock).await.unwrap();
    directory.restore(&[RestoredTenant::here(globex.clone(), TenantStanding::Active)]).await.unwrap();
    gateway::delete(&world.config, "globex", "again", 0).await.unwrap();
    testbed::eventually("it is gone", || async {
        matches!(directory.find("globex").await, Err(DirectoryError::Unknown(_))).then_some(())
    })
    .await;
    let told = placements.deleted().await.unwrap();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.tenant_id == globex.tenant_id.uuid()));
    assert!(told[1].services.iter().any(|kept| kept.service == "user" && kept.events > 0));
}

#[tokio::test]
async fn a_restored_cell_says_how_its_own_tenants_stand_and_not_how_those_of_others_do() {
    let world = Box::pin(town()).await;
    let [west, east] = ["west", "east"].map(|cell| {
        let mut config = world.config.clone();
        config.directory.cell = Some(cell.to_owned());
        Directory::open(&config)
    });
    let created_at = kernel::Clock::now(&SystemClock);
    let (tenant_id, slug) = (testbed::tenant(), "initech".to_owned());
    let tenant = Tenant { tenant_id, slug, name: "Initech".to_owned(), created_at };
    let status = async || {
        let listed = west.listed().await.unwrap();
        listed.into_iter().find(|one| one.tenant.tenant_id == tenant_id).unwrap().status
    };
    east.restore(&[RestoredTenant::here(tenant.clone(), TenantStanding::Suspended)]).await.unwrap();
    west.restore(&[RestoredTenant::here(tenant.clone(), TenantStanding::Active)]).await.unwrap();
    assert_eq!(status().await, "suspended");
    east.restore(&[RestoredTenant::here(tenant, TenantStanding::Active)]).await.unwrap();
    assert_eq!(status().await, "active");
}

#[tokio::test]
async fn a_deletion_can_be_taken_back_until_its_time_and_is_asked_for_once() {
    let world = Box::pin(town()).await;
    let (globex, ours) = busy_tenant(&world).await;
    let directory = Directory::open(&world.config);
    let Deletion { due_at, before, .. } = gateway::delete(&world.config, "globex", "by mistake", 30).await.unwrap();
    assert!(!before);
    let refused = within_a_second(&world, &ours, StatusCode::FORBIDDEN).await;
    assert_eq!(refused.code(), "tenant_suspended");
    assert!(directory.is_being_deleted(globex.tenant_id).await.unwrap());
    let again = gateway::delete(&world.config, "globex", "again", 1).await.unwrap();
    assert_eq!((again.due_at, again.before), (due_at, true), "its time stays, and that is told");
    let listed = directory.listed().await.unwrap();
    assert_eq!(listed.iter().find(|one| one.tenant == globex).unwrap().status, "deleting");
    // A process that starts now refuses the tenant, too.
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let url = format!("http://{}/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001", later.addr());
    testbed::eventually("the later one knows", || async {
        (Answer::of(world.client.get(&url).bearer_auth(&ours)).await.code() == "tenant_suspended").then_some(())
    })
    .await;
    later.shutdown().await;
    let gateway::Restored { tenant: restored, suspended, changed } =
        gateway::restore(&world.config, "globex").await.unwrap();
    assert!(changed, "it was to be deleted");
    assert_eq!((restored, suspended), (globex.clone(), false));
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    // Restoring a tenant that was suspended before does not resume it.
    gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
    gateway::delete(&world.config, "globex", "still not paid", 30).await.unwrap();
    let restored = gateway::restore(&world.config, "globex").await.unwrap();
    assert!(restored.suspended && restored.changed, "{restored:?}");
    let again = gateway::restore(&world.config, "globex").await.unwrap();
    assert!(again.suspended && !again.changed, "{again:?}");
    assert_eq!(within_a_second(&world, &ours, StatusCode::FORBIDDEN).await.code(), "tenant_suspended");
    assert!(!belongings(&world, globex.tenant_id).await.is_empty());
}

#[tokio::test]
async fn what_is_not_to_be_deleted_is_refused_and_nothing_is_written() {
    let world = Box::pin(town()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let directory = Directory::open(&world.config);
    let placements = Placements::of(&directory);
    let user = world.of("user");
    // Waits for the saga that provisioned it, which still has to record its end.
    let before = world.head_of(user).await;
    let refused = async |slug: &str, reason: &str, days| {
        let refused = gateway::delete(&world.config, slug, reason, days).await.unwrap_err();
        assert_eq!(world.head_of(user).await, before, "something was written");
        assert!(!directory.is_being_deleted(globex.tenant_id).await.unwrap());
        refused
    };
    let unknown = refused("nobody", "x", 30).await;
    assert!(matches!(&unknown, ProvisionError::Directory(DirectoryError::Unknown(_))), "{unknown}");
    for (reason, days) in [("", 30), ("x", 3_651)] {
        let wrong = refused("globex", reason, days).await;
        assert!(matches!(&wrong, ProvisionError::Refused(refusal) if refusal.code() == "validation_failed"), "{wrong}");
    }
    let unknown = gateway::restore(&world.config, "nobody").await.unwrap_err();
    assert!(matches!(&unknown, ProvisionError::Directory(DirectoryError::Unknown(_))), "{unknown}");

    // A tenant that is moving to another cell, or has an old copy in one, is not deleted, because that copy would remain.
    let place = placements.place(globex.tenant_id).await.unwrap();
    let begun = Placed::MoveBegun { from: "west".to_owned(), to: "east".to_owned() };
    let mut place = placements.note(globex.tenant_id, place, begun, &SystemClock).await.unwrap();
    let moving = refused("globex", "x", 30).await;
    let on_its_way = |error: &ProvisionError| matches!(error, ProvisionError::Placements(PlacementsError::Placing(PlacingError::OnItsWay(cell))) if cell == "east");
    assert!(on_its_way(&moving), "{moving}");
    for event in [Placed::Moved, Placed::MoveEnded] {
        place = placements.note(globex.tenant_id, place, event, &SystemClock).await.unwrap();
    }
    let elsewhere = gateway::delete(&world.config, "globex", "x", 30).await.unwrap_err();
    let old_copy = |error: &ProvisionError| matches!(error, ProvisionError::Placements(PlacementsError::Placing(PlacingError::OldCopy(cell))) if cell == "west");
    assert!(old_copy(&elsewhere), "{elsewhere}");
    placements.note(globex.tenant_id, place, Placed::OldCopyPurged, &SystemClock).await.unwrap();

    // Neither deletion during a move, however short; nor a move of a tenant that is to be deleted.
    let options = world.config.postgres.admin_url.reveal().parse::<sqlx::postgres::PgConnectOptions>().unwrap();
    let mut mover = options.database(&world.config.postgres.directory).connect().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1, hashtext($2))")
        .bind(eventstore::LockClass::PlaceOfTenant.number())
        .bind(globex.tenant_id.to_string())
        .execute(&mut mover)
        .await
        .unwrap();
    let busy = refused("globex", "x", 30).await;
    assert!(matches!(&busy, ProvisionError::Busy(slug) if slug == "globex"), "{busy}");
    drop(mover);
    testbed::eventually("the turn is free", || async { gateway::delete(&world.config, "globex", "x", 30).await.ok() })
        .await;
    let mut config = world.config.clone();
    let cell = json!({ "urls": "http://127.0.0.1:1" });
    config.cells.insert("west".to_owned(), serde_json::from_value(cell).unwrap());
    let moved = Mover::new(&config, gateway::holdings(), &SystemClock).go("globex", "west", &|_| {}).await.unwrap_err();
    assert!(matches!(&moved, MoveError::Unsettled(what) if what.contains("deleted")), "{moved}");
}

#[tokio::test]
async fn that_a_tenant_is_to_be_deleted_is_noted_before_it_is_said_and_taken_back_when_that_is_refused() {
    let mut world = Box::pin(town()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let directory = Directory::open(&world.config);
    let status = async || {
        let listed = directory.listed().await.unwrap();
        listed.into_iter().find(|one| one.tenant == globex).unwrap().status
    };
    gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
    testbed::eventually("the saga has noted it", async || (status().await == "suspended").then_some(())).await;
    // From here on only the command appends events.
    world.server.take().unwrap().shutdown().await;
    gateway::delete(&world.config, "globex", "", 30).await.unwrap_err();
    assert_eq!(status().await, "suspended");

    let user = world.of("user");
    let mut writer = user.superuser().connect().await.unwrap();
    sqlx::query("SELECT pg_advisory_lock($1)")
        .bind(eventstore::LockKey::Writing.number())
        .execute(&mut writer)
        .await
        .unwrap();
    let before = world.head_of_all(user).await;
    let noted = testbed::eventually("it is noted", || async {
        directory.is_being_deleted(globex.tenant_id).await.unwrap().then_some(())
    });
    let noted = async {
        noted.await;
        assert_eq!(world.head_of_all(user).await, before, "the log does not say so yet");
        drop(writer);
    };
    let (deleted, ()) = tokio::join!(gateway::delete(&world.config, "globex", "contract ended", 30), noted);
    deleted.unwrap();
    assert_eq!(status().await, "deleting");
}

#[tokio::test]
async fn a_tenant_whose_time_came_while_no_server_ran_is_destroyed_by_the_next_one() {
    let mut world = Box::pin(town()).await;
    let (globex, _) = busy_tenant(&world).await;
    world.server.take().unwrap().shutdown().await;
    gateway::delete(&world.config, "globex", "contract ended", 0).await.unwrap();
    assert!(!belongings(&world, globex.tenant_id).await.is_empty(), "nobody was there to destroy it");
    world.server = Some(Server::start(world.config.clone(), Services::All).await.unwrap());
    gone(&world, globex.tenant_id).await;
}

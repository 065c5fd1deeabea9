//! What a starting process knows about suspended tenants, and what it answers before it knows them.

use config::SecretText;
use directory::{Directory, TenantStanding};
use gateway::{Server, Services};
use kernel::Role;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{ConnectOptions, Connection, Executor};
use testbed::eventually;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::jobs::until_at;
use crate::personal::Logged;
use crate::provisioning::{town, within_a_second};
use crate::webhooks::is_shut_out;
use crate::world::{Answer, token};

const LEAD: &str = "/v1/crm/leads/0197a8a0-0000-7000-8000-000000000001";

#[tokio::test]
async fn a_suspension_of_long_ago_that_the_directory_was_never_told_of_holds_in_a_process_that_starts() {
    let world = Box::pin(town()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let directory = Directory::open(&world.config);
    gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
    eventually("the directory is told", || async {
        (directory.suspended().await.unwrap() == [globex.tenant_id]).then_some(())
    })
    .await;
    directory.note_standing(globex.tenant_id, TenantStanding::Active).await.unwrap();
    let mut log = world.of("user").superuser().connect().await.unwrap();
    let since = format!(
        "BEGIN;
         SELECT pg_advisory_xact_lock(7164702801);
         INSERT INTO log.events (tenant_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
                                 metadata, event_id, position, occurred_at, recorded_at, leaf_hash)
         SELECT '{}', 'user.lantern', 'one', n, 'user.lantern.lit', '1', '{{}}', e.metadata, gen_random_uuid(),
                h.position + n, e.occurred_at, h.recorded_at, sha256('smuggled')
         FROM log.head h JOIN log.events e ON e.position = 1, generate_series(1, 6000) n;
         UPDATE log.head SET position = position + 6000;
         COMMIT;",
        world.tenant
    );
    log.execute(since.as_str()).await.unwrap();
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let asked = async |tenant| {
        let ours = token(&world.config, tenant, &[Role::Admin]);
        Answer::of(world.client.get(format!("http://{}{LEAD}", later.addr())).bearer_auth(ours)).await
    };
    eventually("it is shut out", async || (asked(globex.tenant_id).await.code() == "tenant_suspended").then_some(()))
        .await;
    assert_eq!(asked(world.tenant).await.status, StatusCode::NOT_FOUND, "its neighbour, too");
    later.shutdown().await;
}

#[tokio::test]
async fn a_start_that_waits_for_the_directory_is_not_ready_before_it_answers_and_warns_only_if_it_does_not() {
    let text = Logged::default();
    let lines = gateway::telemetry::lines(false, text.clone()).with_filter(EnvFilter::new("info,sqlx=off"));
    tracing_subscriber::registry().with(lines).init();
    let warned = || {
        let text = text.text();
        text.lines()
            .filter(|line| line.contains("WARN") && line.contains("suspended"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let world = Box::pin(town()).await;
    let admin = directory::admin_options(&world.config).unwrap().database(&world.config.postgres.directory);
    let mut slow = sqlx::PgConnection::connect_with(&admin).await.unwrap();
    slow.execute("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let later = Server::start(world.config.clone(), Services::All).await.unwrap();
    let suspensions = async || {
        let ready = Answer::of(world.client.get(format!("http://{}/ready", later.addr()))).await;
        let dependencies = ready.body["dependencies"].as_array().unwrap().clone();
        let known = !dependencies.iter().any(|dependency| dependency["name"] == "suspensions");
        (ready.status, known)
    };
    assert_eq!(suspensions().await, (StatusCode::SERVICE_UNAVAILABLE, false));
    slow.execute("COMMIT").await.unwrap();
    eventually("it is known", async || suspensions().await.1.then_some(())).await;
    assert!(warned().is_empty(), "{:?}", warned());
    later.shutdown().await;

    let mut config = world.config.clone();
    let nobody = format!("postgres://inopsio_directory@127.0.0.1:{}/nowhere", testbed::free_port());
    config.directory.url = SecretText::new(nobody);
    let lost = Server::start(config, Services::All).await.unwrap();
    eventually("it is said that the directory does not answer", async || {
        warned().iter().any(|line| line.contains("the directory of tenants")).then_some(())
    })
    .await;
    lost.shutdown().await;
}

#[tokio::test]
async fn attack_218_jobs_and_schedules_of_a_tenant_that_is_shut_out_wait_until_it_is_admitted() {
    let world = Box::pin(town()).await;
    let globex = gateway::provision(&world.config, "globex", "Globex", None).await.unwrap();
    let ours = token(&world.config, globex.tenant_id, &[Role::Admin]);
    within_a_second(&world, &ours, StatusCode::NOT_FOUND).await;
    // Neither is due before the test says so.
    for (path, new) in [
        ("/v1/jobs/crm", json!({ "kind": "export_leads", "arguments": {}, "run_at": "2090-01-01T06:00:00Z" })),
        (
            "/v1/jobs/crm/schedules",
            json!({ "kind": "export_leads", "arguments": {}, "cron": "0 6 1 1 *", "time_zone": "UTC" }),
        ),
    ] {
        let created = Answer::of(world.anonymous(Method::POST, path).bearer_auth(&ours).json(&new)).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    }
    let mut tables = world.database.superuser().connect().await.unwrap();
    let make_due = format!(
        "UPDATE jobs.jobs SET run_at = clock_timestamp() WHERE tenant_id = '{0}' AND state = 'waiting';
         UPDATE jobs.schedules SET next_at = clock_timestamp() WHERE tenant_id = '{0}'",
        globex.tenant_id
    );
    let states = format!("SELECT state FROM jobs.jobs WHERE tenant_id = '{}' ORDER BY job_id", globex.tenant_id);

    gateway::suspend(&world.config, &globex, "not paid").await.unwrap();
    is_shut_out(&world, &ours).await;
    tables.execute(make_due.as_str()).await.unwrap();
    let neighbours = world.post("/v1/crm/leads/export", json!({})).await;
    until_at(&world, neighbours.header("location"), "completed").await;
    let found: Vec<String> = sqlx::query_scalar(&states).fetch_all(&mut tables).await.unwrap();
    assert_eq!(found, ["waiting"]);

    gateway::resume(&world.config, &globex).await.unwrap();
    eventually("both are completed", async || {
        let mut tables = world.database.superuser().connect().await.unwrap();
        let found: Vec<String> = sqlx::query_scalar(&states).fetch_all(&mut tables).await.unwrap();
        (found == ["completed", "completed"]).then_some(())
    })
    .await;
}

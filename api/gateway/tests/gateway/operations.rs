//! The endpoints for operators and readers: health, readiness, metrics, the API reference.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use config::SecretText;
use reqwest::{Method, StatusCode};
use serde_json::json;
use testbed::eventually;
use tokio_util::sync::CancellationToken;

use crate::world::{Answer, World};

#[tokio::test]
async fn ready_tells_of_each_part_and_of_a_bus_that_is_away() {
    let mut world = World::start().await;
    assert_eq!(world.get("/health").await.body, json!({ "status": "alive" }));
    eventually("everything is ready", async || {
        let ready = world.get("/ready").await;
        (ready.body["status"] == "ready" && ready.status == StatusCode::OK).then_some(())
    })
    .await;
    let ready = world.get("/ready").await;
    let names: Vec<_> = ready.body["dependencies"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    for name in ["postgres/crm", "postgres/auth", "nats", "relay/crm", "relay/auth", "sagas/crm"] {
        assert!(names.iter().any(|other| *other == name), "no {name} in {ready:?}");
    }
    assert!(ready.body["projections"].as_array().is_some_and(|all| all.len() >= 5), "{ready:?}");

    world.nats.kill();
    world.lead("Ada").await;
    let away = eventually("ready tells that the bus is away", async || {
        let ready = world.get("/ready").await;
        (ready.body["status"] == "degraded").then_some(ready)
    })
    .await;
    assert_eq!(away.status, StatusCode::OK, "commands still work, so requests should come");
    world.nats.restart().await;
    eventually("everything is ready again, published, and seen by sagas", async || {
        let ready = world.get("/ready").await;
        let parts = ready.body["dependencies"].as_array()?;
        let lag = |name: &str| Some(parts.iter().find(|part| part["name"] == name)?["lag_events"].clone());
        (ready.body["status"] == "ready" && lag("relay/crm")? == 0 && lag("sagas/crm")? == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ready_says_what_to_do_about_a_database_that_is_not_prepared() {
    let mut world = World::start().await;
    world.restart(|config| _ = config.databases.insert("crm".to_owned(), "inopsio_nowhere".to_owned())).await;
    let ready = world.get("/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE, "{ready:?}");
    let parts = ready.body["dependencies"].as_array().unwrap();
    let detail = |name: &str| parts.iter().find(|part| part["name"] == name).unwrap()["detail"].clone();
    assert!(detail("postgres/crm").as_str().unwrap().contains("inopsio migrate"), "{ready:?}");
    assert_eq!(detail("postgres/auth"), json!(null), "{ready:?}");
}

#[tokio::test]
async fn ready_names_a_background_task_that_panicked_until_it_runs_again() {
    let world = World::start().await;
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(eventstore::supervised("hopeless".to_owned(), shutdown.clone(), |_| panics()));
    let ready = async || {
        let ready = world.get("/ready").await;
        let named = ready.body["dependencies"].as_array()?.iter().any(|part| part["name"] == "task/hopeless");
        Some((named, ready.body["status"] == "degraded", ready.status))
    };
    let degraded = Some((true, true, StatusCode::OK));
    eventually("it is named", async || (ready().await == degraded).then_some(())).await;
    shutdown.cancel();
    task.await.unwrap();
    eventually("all is well", async || (ready().await == Some((false, false, StatusCode::OK))).then_some(())).await;
}

async fn panics() {
    panic!("as the test wants it")
}

#[tokio::test]
async fn metrics_count_the_panics_of_each_background_task_from_zero_on() {
    let world = World::start().await;
    let counted = async |task: &str| {
        let text = world.get("/metrics").await.body.as_str()?.to_owned();
        let series = format!("inopsio_task_panics_total{{task=\"{task}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(series.as_str())?.parse::<u64>().ok())
    };
    for task in ["log/crm", "snapshots/crm", "relay/crm", "projections/crm/leads", "lag of consumers"] {
        assert_eq!(eventually(task, async || counted(task).await).await, 0, "{task}");
    }
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(eventstore::supervised("stumbling".to_owned(), shutdown.clone(), |_| panics()));
    eventually("its panic is counted", async || counted("stumbling").await.filter(|count| *count > 0)).await;
    shutdown.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn metrics_count_requests_by_route_and_status() {
    let world = World::start().await;
    let lead = world.lead("Ada").await;
    world.get(&format!("/v1/crm/leads/{lead}")).await;
    world.get("/v1/crm/strange/path").await;
    let text = eventually("a projection has reported", async || {
        let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
        let all = ["inopsio_projection_lag_events", r#"inopsio_saga_lag_events{service="crm"}"#];
        all.iter().all(|name| text.contains(name)).then_some(text)
    })
    .await;
    for wanted in [
        r#"inopsio_http_request_seconds_count{method="GET",route="/v1/crm/leads/{lead}",status="200"} 1"#,
        r#"inopsio_http_request_seconds_count{method="POST",route="/v1/crm/leads",status="201"} 1"#,
        r#"inopsio_http_request_seconds_count{method="GET",route="unknown",status="404"} 1"#,
        "inopsio_append_seconds_bucket",
        "inopsio_append_batch_events",
        "inopsio_relay_lag_events",
        r#"inopsio_pool_connections_max{service="crm",pool="query"}"#,
        r#"inopsio_pool_connections{service="crm",pool="query",state="busy"} 0"#,
    ] {
        assert!(text.contains(wanted), "no {wanted} in\n{text}");
    }
    let of_user =
        ["commands", "load", "follow", "query", "jobs", "work", "webhooks", "deliver", "dead_letters", "publish"];
    let of_user = of_user.into_iter().chain(["sagas", "coordinate"]).map(|pool| ("user", pool));
    for (service, pool) in of_user.chain([("directory", "directory")]) {
        let wanted = format!(r#"inopsio_pool_connections_max{{service="{service}",pool="{pool}"}}"#);
        assert!(text.contains(&wanted), "no {wanted} in\n{text}");
    }
    assert!(!text.contains("strange"), "strangers can make series");
}

/// The folder of the project.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The metrics that our alerts use. (The alert rules are tested with promtool.)
fn alerted_on() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("deploy/prometheus")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with(".rules.yml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            names.extend(words.filter(|word| word.starts_with("inopsio_")).map(str::to_owned));
        }
    }
    names
}

#[tokio::test]
async fn alerts_are_about_metrics_that_there_are() {
    let world = World::start_with(|config| config.audit.seal_key = SecretText::new("ab".repeat(32))).await;
    world.lead("Ada").await;
    let asked = world.post("/v1/crm/leads/export", json!({})).await;
    assert_eq!(asked.status, StatusCode::CREATED, "{asked:?}");
    let names = alerted_on();
    assert!(names.len() >= 7, "{names:?}");
    // Only a gateway has the first, and only who uses Vault the second. Whether the book's list is right is a test in tests/layering.
    let elsewhere = |name: &String| ["inopsio_remote_", "inopsio_vault_"].iter().any(|kind| name.starts_with(kind));
    let (elsewhere, here) = names.into_iter().partition::<Vec<_>, _>(elsewhere);
    let book = std::fs::read_to_string(root().join("docs/src/operations.md")).unwrap();
    for name in elsewhere {
        assert!(book.contains(&format!("`{name}")), "{name}");
    }
    for name in here {
        eventually(&format!("{name} is among the metrics"), async || {
            let text = world.get("/metrics").await.body.as_str().unwrap().to_owned();
            text.lines().any(|line| line.starts_with(&format!("{name}{{"))).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn attack_143_a_page_of_ours_within_another_sites_page() {
    let world = World::start().await;
    for path in [
        "/docs",
        "/graphql",
        "/t/acme/login",
        "/t/acme/forgot",
        "/t/acme/authorize",
        "/t/acme/verify-email",
        "/invitation",
    ] {
        let page = Answer::of(world.anonymous(Method::GET, path).header("accept", "text/html")).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path}: {page:?}");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn attack_144_somebody_between_a_browser_and_us_who_answers_without_tls() {
    let world = World::start_with(|config| "https://inopsio.example".clone_into(&mut config.http.public_url)).await;
    for path in ["/t/acme/login", "/t/acme/jwks", "/docs", "/nothing"] {
        let answer = Answer::of(world.anonymous(Method::GET, path)).await;
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn the_reference_pages_load_nothing_from_elsewhere() {
    let world = World::start().await;
    for path in ["/docs", "/graphql"] {
        let page = world.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{path}: {policy}");
        // Scripts are not searched, because they contain URLs that they do not load. The content security policy covers them.
        let html = page.body.as_str().unwrap();
        let markup = [&html[..html.find("<script").unwrap()], &html[html.rfind("</script>").unwrap()..]].concat();
        for attribute in ["src=\"http", "href=\"http", "src=\"//", "href=\"//", "url(http"] {
            assert!(!markup.contains(attribute), "{path} loads {attribute}…");
        }
        for src in html.match_indices(" src=\"").map(|(at, _)| &html[at + 6..]).take(10) {
            let src = src.split('"').next().unwrap();
            if src.starts_with("/graphql/assets/") {
                assert_eq!(world.get(src).await.status, StatusCode::OK, "{src}");
            }
        }
    }
    let docs = world.get("/docs").await;
    assert!(docs.body.as_str().unwrap().contains("data-url=\"/openapi.json\""));
    let from_the_address_alone = world.get("/").await;
    assert!(from_the_address_alone.body == docs.body, "{}", from_the_address_alone.status);
}

#[tokio::test]
async fn the_reference_is_not_sent_again_to_whoever_has_it() {
    let world = World::start().await;
    for path in ["/docs", "/openapi.json"] {
        let first = world.get(path).await;
        assert_eq!((first.status, first.header("cache-control")), (StatusCode::OK, "public, no-cache"), "{path}");
        let tag = first.header("etag");
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        for coding in ["identity", "gzip"] {
            let asked =
                world.anonymous(Method::GET, path).header("if-none-match", tag).header("accept-encoding", coding);
            let again = Answer::of(asked).await;
            assert_eq!((again.status, again.header("etag")), (StatusCode::NOT_MODIFIED, tag), "{path} {coding}");
            assert_eq!(again.body.as_str(), Some(""), "{path} {coding}");
        }
        let other = Answer::of(world.anonymous(Method::GET, path).header("if-none-match", "\"1\"")).await;
        assert_eq!(other.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn however_many_ask_whether_it_is_ready_the_databases_are_asked_once_a_second() {
    let world = World::start().await;
    let begin = std::time::Instant::now();
    let asked = (0..200).map(|_| Answer::of(world.anonymous(Method::GET, "/ready")));
    let reports = futures::future::join_all(asked).await;
    // Two separate checks never have the same latency to the nanosecond.
    let times = reports.iter().map(|report| report.body["dependencies"][0]["latency_ms"].to_string());
    let different: std::collections::HashSet<_> = times.collect();
    let seconds = begin.elapsed().as_secs() as usize;
    assert!(different.len() <= seconds + 2, "{} reports in {seconds} s", different.len());
    eventually("a new report", async || {
        let report = world.get("/ready").await;
        (!different.contains(&report.body["dependencies"][0]["latency_ms"].to_string())).then_some(())
    })
    .await;
}

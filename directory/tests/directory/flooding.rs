//! Strangers who send many names of tenants that do not exist.

use std::sync::Arc;

use directory::cell_map::{CellMap, Destination, TenantHint};
use futures::FutureExt;
use kernel::{SystemClock, SystemIds};
use sqlx::postgres::PgPoolOptions;
use sqlx::{ConnectOptions, Executor};
use testbed::{Statements, eventually};

use crate::test_directory::TestDirectory;

fn named(slug: &str) -> TenantHint {
    TenantHint::Slug(slug.to_owned())
}

#[tokio::test]
async fn attack_216_whoever_sends_many_names_of_nobody_delays_no_tenant_and_no_news_of_moves() {
    let statements = Statements::capture();
    let test = TestDirectory::new().await;
    let mut led_to = Vec::new();
    for slug in ["acme", "globex"] {
        let tenant = test.directory.create(slug, slug, &SystemClock, &SystemIds).await.unwrap().tenant_id;
        led_to.push(Some(Destination { tenant: tenant.uuid(), cell: None }));
    }
    let map = Arc::new(CellMap::new(test.placements.clone()));
    map.catch_up().await.unwrap();
    assert_eq!(map.find(&named("acme")).await.unwrap(), led_to[0]);
    statements.clear();

    // The directory answers no look-up for now.
    let mut locks = test.database.superuser().connect().await.unwrap();
    locks.execute("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let ask = |slug: String| {
        let map = map.clone();
        tokio::spawn(async move { map.find(&named(&slug)).await.unwrap() })
    };
    let strangers: Vec<_> = (0..500).map(|nth| ask(format!("nobody-{nth}"))).collect();
    let globex = ask("globex".to_owned());
    let one = PgPoolOptions::new().max_connections(1);
    let observer = one.connect_with(test.database.superuser()).await.unwrap();
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tenants'::regclass
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let occupied = async || {
        eventually("they wait", async || {
            let waiting: i64 = sqlx::query_scalar(waits).fetch_one(&observer).await.unwrap();
            (waiting > 0).then_some(waiting)
        })
        .await
    };
    assert_eq!(occupied().await, 1, "they occupy more than one connection");
    assert_eq!(map.find(&named("acme")).await.unwrap(), led_to[0], "who is known");
    map.catch_up().await.unwrap();

    locks.execute("COMMIT").await.unwrap();
    assert_eq!(globex.await.unwrap(), led_to[1], "who was not known yet");
    for stranger in strangers {
        assert_eq!(stranger.await.unwrap(), None);
    }
    let queries = statements.with("ORDINALITY").len();
    assert!((1..=2).contains(&queries), "{queries} queries");
    // Whoever does not wait any more is not looked up.
    locks.execute("BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let first = ask("somebody".to_owned());
    occupied().await;
    for nth in 0..100 {
        assert!(map.find(&named(&format!("impatient-{nth}"))).now_or_never().is_none());
    }
    statements.clear();
    locks.execute("COMMIT").await.unwrap();
    assert_eq!(first.await.unwrap(), None);
    assert_eq!(map.find(&named("somebody-else")).await.unwrap(), None);
    assert_eq!(statements.with("ORDINALITY").len(), 2, "their own queries");
    // What can't be a name is not looked up, however long it is.
    statements.clear();
    assert_eq!(map.find(&named(&"x".repeat(8_000))).await.unwrap(), None);
    assert_eq!(map.find(&named("Nobody")).await.unwrap(), None);
    assert_eq!(statements.with("tenants"), Vec::<String>::new());
}

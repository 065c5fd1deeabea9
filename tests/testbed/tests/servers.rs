//! Tests of the testbed's servers: they serve, and can be killed and restarted.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::future::ready;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use testbed::{Database, Nats, Postgres, eventually};

#[tokio::test]
async fn a_database_is_migrated_and_dropped_with_its_handle() {
    let database = Database::fresh("crm").await;
    let name = database.name.clone();
    let mut admin = database.admin().connect().await.unwrap();
    let exists = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    assert!(sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut admin).await.unwrap());
    drop(database);
    assert!(!sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut admin).await.unwrap());
}

#[tokio::test]
async fn a_copy_is_as_a_migration_makes_it() {
    let copied = Database::fresh("crm").await;
    let made = Database::named("crm");
    eventstore::admin::migrate(&made.admin(), &made, eventstore::admin::Mode::Apply).await.unwrap();
    let copied = described(&copied).await;
    assert!(copied.iter().any(|line| line.starts_with("inopsio_crm_read may CONNECT")), "{copied:?}");
    assert_eq!(copied, described(&made).await);
}

/// The owner, the contents and the grants of a database, as text.
async fn described(database: &Database) -> Vec<String> {
    let mut inside = database.superuser().connect().await.unwrap();
    sqlx::query_scalar(
        "WITH this AS (SELECT * FROM pg_database WHERE datname = current_database()),
             ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
         SELECT format('of %s: %s %s %s %s %s', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
                 datallowconn, datconnlimit) FROM this
         UNION ALL SELECT format('%s may %s', pg_get_userbyid(grantee), privilege_type) FROM this, aclexplode(datacl)
         UNION ALL SELECT format('set for %s: %s', setrole, setconfig) FROM pg_db_role_setting, this WHERE setdatabase = this.oid
         UNION ALL SELECT format('schema %s %s %s', nspname, pg_get_userbyid(nspowner), nspacl)
             FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
         UNION ALL SELECT format('%s %s %s %s %s %s', relkind, oid::regclass, pg_get_userbyid(relowner), relrowsecurity,
                 relforcerowsecurity, relacl) FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
         UNION ALL SELECT format('function %s %s %s', oid::regprocedure, pg_get_userbyid(proowner), proacl)
             FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
         UNION ALL SELECT format('policy %s', p) FROM pg_policies p
         UNION ALL SELECT format('by default %s %s %s', pg_get_userbyid(defaclrole), defaclobjtype, defaclacl) FROM pg_default_acl
         ORDER BY 1",
    )
    .fetch_all(&mut inside)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_killed_postgres_comes_back_with_its_data() {
    let mut postgres = Postgres::unsynced();
    let mut admin = postgres.admin().connect().await.unwrap();
    sqlx::query("CREATE TABLE kept (n int)").execute(&mut admin).await.unwrap();
    postgres.kill();
    assert!(sqlx::query("SELECT FROM kept").execute(&mut admin).await.is_err());
    postgres.restart();
    let mut admin = postgres.admin().connect().await.unwrap();
    sqlx::query("SELECT FROM kept").execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
}

#[tokio::test]
async fn who_runs_tests_beside_a_postgres_and_is_killed_leaves_nothing_behind() {
    let mut shared = testbed::postgres().connect().await.unwrap();
    let programs = "SELECT setting FROM pg_config WHERE name = 'BINDIR'";
    let programs: String = sqlx::query_scalar(programs).fetch_one(&mut shared).await.unwrap();
    let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/with-postgres"))
        .args(["sh", "-c", "echo $INOPSIO_TEST_POSTGRES; exec cat"])
        .env("INOPSIO_POSTGRES_BIN", programs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(script.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let mut inside = PgConnectOptions::from_str(url.trim()).unwrap().connect().await.unwrap();
    let data: String = sqlx::query_scalar("SHOW data_directory").fetch_one(&mut inside).await.unwrap();
    let folder = Path::new(&data).parent().unwrap();
    assert!(folder.is_dir(), "{data}");
    script.kill().unwrap();
    script.wait().unwrap();
    eventually("its folder is removed", || ready((!folder.exists()).then_some(()))).await;
    assert!(inside.ping().await.is_err(), "its server runs on");
}

#[test]
fn a_port_is_given_once_and_not_while_somebody_listens_there() {
    let ports: BTreeSet<u16> = (0..50).map(|_| testbed::free_port()).collect();
    assert_eq!(ports.len(), 50);
    // The next port is the one after the last, unless it is in use.
    let listens: Vec<_> =
        (1..=3).filter_map(|more| TcpListener::bind(("127.0.0.1", ports.last()? + more)).ok()).collect();
    let next = testbed::free_port();
    assert!(listens.iter().all(|listener| listener.local_addr().unwrap().port() != next), "{next}");
}

#[tokio::test]
async fn a_killed_nats_server_comes_back_on_its_port() {
    let mut nats = Nats::start().await;
    let port = nats.port();
    nats.kill();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    nats.restart().await;
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    assert_eq!(nats.port(), port);
}

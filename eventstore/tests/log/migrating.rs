//! Migrations: idempotent, forward only, honest in a dry run.

use eventstore::{Error, Role, Secret, admin};
use kernel::Service;
use sqlx::{ConnectOptions, Executor};

use super::support::*;

#[tokio::test]
async fn migrating_again_does_nothing() {
    let (database, _store) = store().await;
    assert_eq!(admin::migrate(&database.admin(), &database, admin::Mode::Apply).await.unwrap(), []);
    assert_eq!(admin::migrate(&database.admin(), &database, admin::Mode::DryRun).await.unwrap(), []);
}

#[tokio::test]
async fn a_dry_run_lists_what_would_be_applied_and_changes_nothing() {
    let admin = testbed::postgres();
    let mut database = eventstore::Database::local(Service::new("dryrun"), admin.get_port(), Secret::new("secret"));
    admin.get_host().clone_into(&mut database.host);
    database.name = format!("test_dryrun_{}", id().simple());
    let applied = admin::migrate(&admin, &database, admin::Mode::DryRun).await.unwrap();
    let names: Vec<_> = applied.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names[..2], ["role inopsio_dryrun_owner", "role inopsio_dryrun_append"]);
    assert_eq!(
        names[1 + Role::ALL.len()..],
        [
            format!("database {}", database.name).as_str(),
            "0001_log.sql",
            "0002_append.sql",
            "0003_backup.sql",
            "0004_append.sql",
            "0005_snapshots.sql",
            "0006_keys.sql",
            "0007_copied.sql",
            "0008_append.sql",
            "0009_closed.sql",
            "0010_plans.sql",
            "0011_deleted.sql",
            "0012_touched.sql",
            "0013_copies.sql",
            "0014_settled.sql",
            "0015_seals.sql",
            "0016_beside.sql",
            "0017_gone.sql",
            "0018_seals_in_backups.sql",
            "0019_closed_now.sql",
            "0020_append.sql",
            "0021_claim_key.sql",
            "0022_master_keys.sql"
        ]
    );
    let there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname LIKE 'inopsio_dryrun%')
             OR EXISTS (SELECT FROM pg_database WHERE datname = $1)",
    )
    .bind(&database.name)
    .fetch_one(&mut admin.connect().await.unwrap())
    .await
    .unwrap();
    assert!(!there);
}

#[tokio::test]
async fn a_changed_or_unknown_migration_stops() {
    let (database, _store) = store().await;
    let mut superuser = superuser(&database).await;
    superuser.execute("UPDATE log.migrations SET checksum = '' WHERE name = '0001_log.sql'").await.unwrap();
    let refused = admin::migrate(&database.admin(), &database, admin::Mode::Apply).await.unwrap_err();
    assert!(matches!(&refused, Error::MigrationChanged { name } if name == "0001_log.sql"), "{refused}");
    superuser.execute("INSERT INTO log.migrations VALUES ('9999_future.sql', '')").await.unwrap();
    let refused = admin::migrate(&database.admin(), &database, admin::Mode::Apply).await.unwrap_err();
    assert!(matches!(&refused, Error::MigrationUnknown { name } if name == "9999_future.sql"), "{refused}");
}

#[tokio::test]
async fn an_admin_that_is_no_superuser_migrates_and_the_password_is_set() {
    let postgres = testbed::Postgres::unsynced();
    let mut root = postgres.admin().connect().await.unwrap();
    root.execute("CREATE ROLE dba LOGIN CREATEDB CREATEROLE").await.unwrap();
    let admin = postgres.admin().username("dba");
    let database = eventstore::Database::local(Service::new("crm"), postgres.port(), Secret::new("it's a secret"));
    let applied = admin::migrate(&admin, &database, admin::Mode::Apply).await.unwrap();
    assert_eq!(applied.len(), 1 + Role::ALL.len() + 1 + 22);
    assert_eq!(admin::migrate(&admin, &database, admin::Mode::Apply).await.unwrap(), []);
    let verifier: String = sqlx::query_scalar("SELECT rolpassword FROM pg_authid WHERE rolname = 'inopsio_crm_read'")
        .fetch_one(&mut root)
        .await
        .unwrap();
    assert!(verifier.starts_with("SCRAM-SHA-256$"), "{verifier}");
    database.options(Role::Read).connect().await.unwrap();
    assert!(
        database.options(Role::Read).username("inopsio_crm_owner").connect().await.is_err(),
        "the owner can't log in"
    );
}

#[tokio::test]
async fn a_role_that_row_level_security_does_not_bind_is_refused() {
    let postgres = testbed::Postgres::unsynced();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    let mut root = postgres.admin().connect().await.unwrap();
    root.execute("ALTER ROLE inopsio_crm_read BYPASSRLS").await.unwrap();
    let refused = admin::migrate(&postgres.admin(), &database, admin::Mode::Apply).await.unwrap_err();
    assert!(matches!(&refused, Error::RoleUnbound { role } if role == "inopsio_crm_read"), "{refused}");
}

#[tokio::test]
async fn a_role_that_may_not_log_in_is_recognized() {
    let postgres = testbed::Postgres::unsynced();
    let database = testbed::Database::fresh_on(&postgres, "crm").await;
    for role in [Role::Read, Role::Backup] {
        admin::probe(&database, role).await.unwrap();
    }
    let mut root = postgres.admin().connect().await.unwrap();
    root.execute("ALTER ROLE inopsio_crm_backup NOLOGIN").await.unwrap();
    let error = admin::probe(&database, Role::Backup).await.unwrap_err();
    assert!(admin::is_unprepared(&error) && error.to_string().contains("inopsio_crm_backup"), "{error}");
    admin::probe(&database, Role::Read).await.unwrap();
}

#[tokio::test]
async fn a_database_that_nobody_has_prepared_is_recognized() {
    let admin = testbed::postgres();
    let mut database = eventstore::Database::local(Service::new("unmade"), admin.get_port(), Secret::new("secret"));
    admin.get_host().clone_into(&mut database.host);
    let unprepared = |error: sqlx::Error| admin::is_unprepared(&Error::Storage(error));
    assert!(admin::is_unprepared(&admin::probe(&database, Role::Read).await.unwrap_err()), "it has no such role");
    let error = admin.clone().database("nowhere").connect().await.unwrap_err();
    assert!(unprepared(error), "it has no such database");
    let error = admin.clone().username("stranger").connect().await.unwrap_err();
    assert!(!unprepared(error), "another role than ours");
}

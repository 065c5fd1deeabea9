//! A database for each test.

use eventstore::Role;
use eventstore::admin::{Mode, migrate};
use kernel::{IdSource, Service, SystemIds, TenantId};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use crate::{PASSWORD, Postgres, eventually};

/// A migrated database of a service. It is removed on drop. Use it as an `eventstore::Database`.
pub struct Database {
    admin: PgConnectOptions,
    database: eventstore::Database,
}

impl Database {
    /// A new database on the shared Postgres.
    pub async fn fresh(service: &'static str) -> Self {
        let database = Self::named(service);
        let admin = database.admin();
        crate::copy_prepared("log", &[&database], async |templates: Vec<eventstore::Database>| {
            for template in templates {
                migrate(&admin, &template, Mode::Apply).await.expect("the database can be migrated");
            }
        })
        .await;
        database
    }

    /// A new database on a private Postgres.
    pub async fn fresh_on(postgres: &Postgres, service: &'static str) -> Self {
        let admin = postgres.admin();
        let database = unmigrated(&admin, service);
        migrate(&admin, &database, Mode::Apply).await.expect("the database can be migrated");
        Self { admin, database }
    }

    /// The name of a database on the shared Postgres that somebody else creates. It is removed on drop.
    pub fn named(service: &'static str) -> Self {
        let admin = crate::postgres();
        let database = unmigrated(&admin, service);
        Self { admin, database }
    }

    /// The superuser's connection options for the cluster (its `postgres` database), as `migrate` needs them.
    pub fn admin(&self) -> PgConnectOptions {
        self.admin.clone()
    }

    /// The superuser's connection options for this database.
    pub fn superuser(&self) -> PgConnectOptions {
        self.admin.clone().database(&self.database.name)
    }

    /// Waits until a session of this role has a row in `pg_stat_activity` that fulfils `condition`: for example that it waits for another
    /// transaction (`wait_event_type = 'Lock'`), or that its current or last query is a certain one (`query LIKE …`).
    pub async fn until_session(&self, role: Role, condition: &str) {
        let (superuser, name) = (self.superuser().disable_statement_logging(), role.name(self.database.service));
        let shows = format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = $1 AND {condition})"
        );
        eventually(&format!("{name}: {condition}"), || async {
            let mut looking = superuser.connect().await.unwrap();
            let shown: bool = sqlx::query_scalar(&shows).bind(&name).fetch_one(&mut looking).await.unwrap();
            shown.then_some(())
        })
        .await;
    }
}

impl std::ops::Deref for Database {
    type Target = eventstore::Database;

    fn deref(&self) -> &eventstore::Database {
        &self.database
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.database.name.clone());
        // Drop is not async, and the test's runtime may have only this thread, so use a new thread with its own runtime.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = admin.connect().await?;
                connection.execute(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)").as_str()).await?;
                connection.close().await
            })
        });
        // Ignore errors: if the server was killed, its databases are gone.
        let _ = dropped.join();
    }
}

/// The settings of a database that does not exist yet.
fn unmigrated(admin: &PgConnectOptions, service: &'static str) -> eventstore::Database {
    let service = Service::new(service);
    let mut database = eventstore::Database::local(service, admin.get_port(), eventstore::Secret::new(PASSWORD));
    admin.get_host().clone_into(&mut database.host);
    database.socket = admin.get_socket().cloned();
    database.name = format!("test_{service}_{}", unique());
    database
}

/// A unique text.
pub(crate) fn unique() -> String {
    SystemIds.next().simple().to_string()
}

/// A new tenant.
#[expect(clippy::disallowed_methods, reason = "a test vouches for its tenants")]
pub fn tenant() -> TenantId {
    TenantId::vouched(SystemIds.next())
}

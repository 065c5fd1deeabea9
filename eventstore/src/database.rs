//! The location of a service's database, its roles, and connections to it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kernel::{Service, TenantId};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Connection, Postgres, Transaction};

/// A password, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A service's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    /// Host name or address of the server.
    pub host: String,
    /// Port of the server.
    pub port: u16,
    /// Directory of the server's unix socket, used instead of `host` when given.
    pub socket: Option<PathBuf>,
    /// Name of the database, `inopsio_<service>` unless configured otherwise.
    pub name: String,
    /// The service that owns it.
    pub service: Service,
    /// The password of all the service's roles.
    pub password: Secret,
    /// Whether and how TLS is used.
    pub ssl_mode: PgSslMode,
}

/// The Postgres role with which a program connects. Each role has only the privileges that its name suggests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Calls `log.append` and looks up commands; reads no table.
    Append,
    /// Selects what belongs to the tenant of `app.tenant_id`.
    Read,
    /// Selects all tenants' events: relay and projector.
    Follow,
    /// Writes the read models of the tenants of `app.tenant_ids`.
    Project,
    /// Changes the webhooks of the tenant of `app.tenant_id`.
    Configure,
    /// Delivers to all tenants' webhooks.
    Deliver,
    /// Enqueues, reads and cancels jobs of the tenant of `app.tenant_id`.
    Queue,
    /// Runs all tenants' jobs.
    Work,
    /// Selects the whole log of all tenants, commands and claims included: backups, and what concerns the keys of all
    /// tenants.
    Backup,
    /// Selects all tenants' leaf hashes, and stores the signed heads of their Merkle trees.
    Seal,
}

impl Role {
    /// All roles that log in.
    pub const ALL: [Self; 10] = [
        Self::Append,
        Self::Read,
        Self::Follow,
        Self::Project,
        Self::Configure,
        Self::Deliver,
        Self::Queue,
        Self::Work,
        Self::Backup,
        Self::Seal,
    ];

    /// The last part of the role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Follow => "follow",
            Self::Project => "project",
            Self::Configure => "configure",
            Self::Deliver => "deliver",
            Self::Queue => "queue",
            Self::Work => "work",
            Self::Backup => "backup",
            Self::Seal => "seal",
        }
    }

    /// The role's name in Postgres, for example `inopsio_crm_read`.
    pub fn name(self, service: Service) -> String {
        format!("inopsio_{service}_{}", self.as_str())
    }
}

impl Database {
    /// A service's database under its usual name, on a server of this machine.
    pub fn local(service: Service, port: u16, password: Secret) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            socket: None,
            name: format!("inopsio_{service}"),
            service,
            password,
            ssl_mode: PgSslMode::Prefer,
        }
    }

    /// The role that owns everything in the database and cannot log in.
    pub fn owner(&self) -> String {
        format!("inopsio_{}_owner", self.service)
    }

    /// The options for connecting as a role.
    pub fn options(&self, role: Role) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&self.host)
            .port(self.port)
            .database(&self.name)
            .username(&role.name(self.service))
            .password(self.password.reveal())
            .ssl_mode(self.ssl_mode)
            .application_name(&format!("inopsio {} {}", self.service, role.as_str()))
            // Statements are short and repeat; JIT compilation costs more than it saves.
            .options([("jit", "off")]);
        match &self.socket {
            Some(socket) => options.socket(socket),
            None => options,
        }
    }

    /// A pool that connects when it is first used and fails after 3 s without a free connection. Connections that were used a moment ago
    /// are not pinged before they are used: a broken one is noticed when it is used.
    pub fn pool(&self, role: Role, max: u32) -> PgPool {
        pool(self.options(role), max, Patience::default())
    }

    /// As [`pool`](Self::pool), with server settings for its sessions.
    pub fn pool_with(&self, role: Role, max: u32, settings: &[(&str, &str)]) -> PgPool {
        pool(self.options(role).options(settings.iter().copied()), max, Patience::default())
    }
}

/// How long a pool waits for a server that may be gone.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A connection that was not used for this long is pinged before use, and replaced if there is no answer within the same time.
    pub unused: Duration,
    /// How long a connection that is given back may take to answer, after which its place in the pool is free for another one. Longer than
    /// the statements of tenants: the server may still be executing what nobody waits for any more.
    pub given_back: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { unused: Duration::from_secs(1), given_back: Duration::from_secs(12) }
    }
}

/// How long a transaction may take to begin, including the wait for a free connection and the replacement of broken ones.
const BEGUN: Duration = Duration::from_secs(5);

/// The [pool](Database::pool) of a database, also of one that is no service's.
pub fn pool(options: PgConnectOptions, max: u32, patience: Patience) -> PgPool {
    pool_options(max, patience).connect_lazy_with(options)
}

/// What all pools have in common.
pub(crate) fn pool_options(max: u32, Patience { unused, given_back }: Patience) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max)
        .min_connections(0)
        .acquire_timeout(Duration::from_secs(3))
        .test_before_acquire(false)
        .before_acquire(move |connection, used| {
            Box::pin(async move {
                if used.idle_for >= unused {
                    within(unused, connection.ping()).await?;
                }
                Ok(true)
            })
        })
        .after_release(move |connection, _| {
            Box::pin(async move {
                // Waits for the answers to what nobody waited for. SQLx then pings by itself, without a limit. That takes one round trip; a
                // connection that becomes silent just then keeps its place until the kernel gives it up (sqlx issue 4349).
                within(given_back, connection.flush()).await?;
                Ok(true)
            })
        })
}

/// How long a question on a connection of its own may take, including the connecting.
pub(crate) const QUESTION: Duration = Duration::from_secs(3);

/// Waits for an answer for which the server has nothing to wait for itself. If its machine or the network is gone, nothing closes our
/// connections: without a limit we would wait until the kernel gives up (a quarter of an hour), or, if the server had received the query,
/// for ever.
///
/// # Errors
/// Those of the query; an I/O error after this time.
pub async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// Begins a transaction on a [pool](Database::pool) with this statement. Since connections that were used a moment ago are not pinged
/// before use, after a restart of the server they are broken; each of them fails once here and is replaced.
pub async fn begin(pool: &PgPool, begin: &str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let begun = async {
        let mut broken = 0;
        loop {
            match pool.begin_with(begin.to_owned()).await {
                Err(error) if broken <= pool.options().get_max_connections() && is_broken(&error) => broken += 1,
                begun => return begun,
            }
        }
    };
    within(BEGUN, begun).await
}

/// As [`begin`], with the tenant set for row level security and a limit of 10 s for each statement.
pub async fn begin_as(pool: &PgPool, tenant: TenantId) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    begin(pool, &format!("BEGIN; SET LOCAL app.tenant_id = '{tenant}'; SET LOCAL statement_timeout = '10s'")).await
}

/// Whether an error means that the connection is unusable.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        _ => false,
    }
}

/// The usage of a connection pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// What the pool is for.
    pub pool: &'static str,
    /// Open connections that are not in use.
    pub idle: u32,
    /// Connections in use.
    pub busy: u32,
    /// The most connections it may open.
    pub max: u32,
}

impl PoolUse {
    /// Counts a pool's connections.
    pub fn of(pool: &'static str, connections: &PgPool) -> Self {
        let open = connections.size();
        let idle = u32::try_from(connections.num_idle()).unwrap_or(open).min(open);
        Self { pool, idle, busy: open - idle, max: connections.options().get_max_connections() }
    }
}

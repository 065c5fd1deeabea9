//! The user service's sagas: one file each, with its parameters, the events that start it, and its steps with their undo.
//!
//! What they need beside the log (mail, other services, the installation) comes in as [`Ports`]; the gateway provides the adapters.
//!
//! To add one: its file here with a `definition()`, its `mod` line and its line in [`sagas`]; and its test story in `tests/`, which runs
//! it through all failures (`sagabed`). The runtime is in `sagas/coordinator`. See `docs/src/sagas.md`.

mod delete_tenant;
mod end_access;
mod note_registration;
mod note_tenant_status;
mod provision_tenant;
mod send_invitation;
mod verify_email;
mod verify_phone;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use coordinator::Sagas;
use futures::future::BoxFuture;
use kernel::{DecodeError, Position, RecordedEvent, Service, TenantId, UserId};
use mailer::Mailer;
use texting::TextMessages;
use user_aggregates::{TenantEvent, TenantRestored};
use user_commands::{CodeKey, GRANTS, LinkKey};

coordinator::sagas_of!(
    /// The names of the user service's sagas on the wire.
    pub struct UserSagas of "user"
);

/// What the sagas need beside the log.
#[derive(Clone)]
pub struct Ports {
    /// How mail goes out.
    pub mailer: Arc<dyn Mailer>,
    /// How text messages go out.
    pub texts: Arc<dyn TextMessages>,
    /// The key under which links are made.
    pub links: LinkKey,
    /// The key under which codes are made.
    pub codes: CodeKey,
    /// Where people reach us, without a slash at the end: the beginning of mailed links.
    pub url: Arc<str>,
    /// Where tenants' places are made.
    pub places: Arc<dyn Places>,
    /// Where people are signed in.
    pub access: Arc<dyn Access>,
}

/// That somebody is to be signed out everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// In which tenant.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Why, in a word.
    pub reason: String,
    /// Whether they never sign in again.
    pub closes: bool,
    /// Whether nothing is kept that tells who they were.
    pub erases: bool,
    /// What makes it the same when it is asked again: then nothing more happens.
    pub once: String,
}

/// Where people are signed in: the auth service.
pub trait Access: Send + Sync + 'static {
    /// Whether whoever signs people in sees what the log of people says up to a position; waits for it for a moment.
    fn is_known(&self, tenant: TenantId, position: Position) -> BoxFuture<'_, bool>;

    /// Signs somebody out everywhere. An error says why it can't be done now.
    fn end<'a>(&'a self, ending: &'a Ending) -> BoxFuture<'a, Result<(), String>>;
}

/// Why a tenant's place is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Another tenant has the short name.
    #[error("the short name {0} is taken")]
    Taken(String),
    /// It may go better later.
    #[error("{0}")]
    Passing(String),
}

/// How a tenant stands in the directory, where each process looks when it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStanding {
    /// It can be used.
    Active,
    /// Nobody of it may do anything for now.
    Suspended,
    /// Nobody of it may do anything, and it is deleted at its time.
    Deleting,
}

impl TenantStanding {
    /// The events of a tenant after which it stands otherwise.
    pub const TOLD_BY: &'static [&'static str] =
        &["user.tenant.suspended", "user.tenant.resumed", "user.tenant.deletion_requested", "user.tenant.restored"];

    /// How a tenant stands after an event of it; none: by that it is not told. Of a history, the last that tells it counts.
    ///
    /// # Errors
    /// When it is one of [`TOLD_BY`](Self::TOLD_BY), and this program can't read it.
    pub fn after(event: &RecordedEvent) -> Result<Option<Self>, DecodeError> {
        if !Self::TOLD_BY.contains(&event.event_type.as_str()) {
            return Ok(None);
        }
        let told = event.decode::<TenantEvent>()?;
        Ok(told.into_iter().fold(None, |before, event| match event {
            TenantEvent::TenantSuspended(_) | TenantEvent::TenantRestored(TenantRestored { suspended: true }) => {
                Some(Self::Suspended)
            }
            TenantEvent::TenantResumed(_) | TenantEvent::TenantRestored(_) => Some(Self::Active),
            TenantEvent::TenantDeletionRequested(_) => Some(Self::Deleting),
            _ => before,
        }))
    }

    /// Its name in the directory.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

/// Where tenants' places are made: the directory of names, the databases, the streams. Each of these may be done again.
pub trait Places: Send + Sync + 'static {
    /// Reserves a short name for a tenant.
    fn reserve<'a>(
        &'a self,
        tenant: TenantId,
        slug: &'a str,
        name: &'a str,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), PlaceError>>;

    /// Gives back what a tenant that is not made after all had, and tells whoever was led to it already; nothing happens when there is none.
    fn release(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// From now on the name leads to the tenant.
    fn open(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Notes how a tenant stands. Before its place is open nothing can be noted, which passes.
    fn note_standing(&self, tenant: TenantId, standing: TenantStanding) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// The services in which tenants have something, that of tenants themselves last.
    fn services(&self) -> Vec<Service>;

    /// Notes that a tenant is deleted, with what the log of each service then is, and frees its short name.
    fn record_deletion(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Destroys what a service has of a tenant but the sealed bytes of its log: keys, claims, answers, read models, jobs, webhooks, dead
    /// letters, sagas. Nothing is written for it there any more.
    fn destroy(&self, tenant: TenantId, service: Service) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Whether every service has its tables, with row level security.
    fn check_databases(&self) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Whether every service has its stream.
    fn check_streams(&self) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Gives a tenant the keys that sign its tokens; one that has them keeps them.
    fn make_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>>;

    /// Takes the keys of a tenant back that is not made after all; nothing happens when it has none.
    fn close_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), PlaceError>>;
}

impl Ports {
    /// `secret` is the service's own, the same as in its API: links that are mailed here are read there.
    pub fn new(
        mailer: Arc<dyn Mailer>,
        texts: Arc<dyn TextMessages>,
        secret: &[u8; 32],
        url: Arc<str>,
        places: Arc<dyn Places>,
        access: Arc<dyn Access>,
    ) -> Self {
        Self { mailer, texts, links: LinkKey::derive(secret), codes: CodeKey::derive(secret), url, places, access }
    }
}

/// All sagas of the user service. An old version stays as long as instances of it run.
pub fn sagas(ports: &Ports) -> Sagas {
    Sagas::of::<UserSagas>(
        GRANTS,
        vec![
            provision_tenant::without_keys(ports),
            provision_tenant::definition(ports),
            note_tenant_status::definition(ports),
            delete_tenant::definition(ports),
            send_invitation::definition(ports),
            verify_email::definition(ports),
            verify_phone::definition(ports),
            note_registration::definition(ports),
            end_access::definition(ports),
        ],
    )
}

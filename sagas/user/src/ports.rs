//! What the sagas need apart from the log; the gateway provides the adapters.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use kernel::{Position, Service, TenantId, UserId};
use mailer::Mailer;
use texting::TextMessages;
use user_commands::{CodeKey, LinkKey};

use crate::TenantStanding;

/// What the sagas need apart from the log.
#[derive(Clone)]
pub struct Ports {
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Sends text messages.
    pub texts: Arc<dyn TextMessages>,
    /// The key that signs mailed links.
    pub links: LinkKey,
    /// The key from which texted codes are derived.
    pub codes: CodeKey,
    /// The public base URL without a slash at the end: the beginning of mailed links.
    pub url: Arc<str>,
    /// Creates and destroys the resources of tenants.
    pub resources: Arc<dyn TenantResources>,
    /// The auth service, which ends sessions.
    pub access: Arc<dyn Access>,
}

/// A request to end all sessions of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The person's tenant.
    pub tenant: TenantId,
    /// The person.
    pub user: UserId,
    /// The reason's code.
    pub reason: String,
    /// Whether the account is closed for ever.
    pub closes: bool,
    /// Whether the account's personal data is erased.
    pub erases: bool,
    /// The command id: a repeated request with the same id has no effect.
    pub once: String,
}

/// The auth service, as far as these sagas need it.
pub trait Access: Send + Sync + 'static {
    /// Whether the read model that the auth service uses to sign people in has reached this position. Waits a moment for it.
    fn is_known(&self, tenant: TenantId, position: Position) -> BoxFuture<'_, bool>;

    /// Ends all sessions of a person. An error is temporary, and gives the reason.
    fn end<'a>(&'a self, ending: &'a Ending) -> BoxFuture<'a, Result<(), String>>;
}

/// Why an operation on a tenant's resources failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// Another tenant has this short name.
    #[error("the short name {0} is taken")]
    Taken(String),
    /// A temporary failure.
    #[error("{0}")]
    Transient(String),
}

/// Creates and destroys the resources of tenants: the short name in the directory, databases, streams and keys. All operations are
/// idempotent.
pub trait TenantResources: Send + Sync + 'static {
    /// Reserves a short name for a tenant.
    fn reserve<'a>(
        &'a self,
        tenant: TenantId,
        slug: &'a str,
        name: &'a str,
        at: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<(), ResourceError>>;

    /// Releases what was reserved for a tenant whose provisioning failed, and notifies processes that resolved its name already. Does
    /// nothing if there is nothing.
    fn release(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Makes the short name resolve to the tenant.
    fn open(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Records a tenant's status in the directory. Fails temporarily until [`open`](Self::open) was called.
    fn note_standing(&self, tenant: TenantId, standing: TenantStanding) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// The services that store data of tenants. The service of tenants itself comes last.
    fn services(&self) -> Vec<Service>;

    /// Records in the directory that a tenant is deleted, with the state of each service's log at that time, and frees its short name.
    fn record_deletion(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Destroys a tenant's data in a service: keys, claims, stored answers, read models, jobs, webhooks, dead letters and sagas. Only the
    /// sealed bytes of its log remain. Nothing can be written for the tenant there any more.
    fn destroy(&self, tenant: TenantId, service: Service) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Checks that every service has its tables, with row level security.
    fn check_databases(&self) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Checks that every service has its stream.
    fn check_streams(&self) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Creates the keys that sign the tenant's tokens, unless it has them.
    fn make_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;

    /// Removes the keys of a tenant whose provisioning failed. Does nothing if it has none.
    fn close_keys(&self, tenant: TenantId) -> BoxFuture<'_, Result<(), ResourceError>>;
}

impl Ports {
    /// `secret` must be the same as that of the user service's API, which verifies the mailed links and texted codes.
    pub fn new(
        mailer: Arc<dyn Mailer>,
        texts: Arc<dyn TextMessages>,
        secret: &[u8; 32],
        url: Arc<str>,
        resources: Arc<dyn TenantResources>,
        access: Arc<dyn Access>,
    ) -> Self {
        Self { mailer, texts, links: LinkKey::derive(secret), codes: CodeKey::derive(secret), url, resources, access }
    }
}

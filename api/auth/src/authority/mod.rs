//! The authorization server of each tenant: its issuer, its keys, and the tokens that it signs.
//!
//! Everything that signs a token, or seals or opens a secret, goes through an [`Authority`]. It loads a tenant's key ring ([`Ring`]) from
//! the log and caches it until an event changes it, but at most a minute (`FRESH`).

mod api_key;
mod opaque;
mod ring;
mod rotation;
mod saml_keys;
mod signature;
mod token;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use auth_aggregates::{Algorithm, KeyRing, KeyRingOpened, SigningKeyAdded};
use auth_commands::{AddFirstSigningKey, OpenKeyRing, ResealKeyRing, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use executor::{Command, Done, Executor, Permissions};
use face::{ActiveTenants, Admission, MailedLinks, OwnPictures, People};
use kernel::{Caller, Clock, Refusal, TenantId};
use keys::{Context, DataKey, Enveloped, MasterKey, Random};
use quick_cache::sync::Cache;

use crate::low_priority::at_low_priority;

pub use api_key::ApiKeyText;
pub use opaque::{Opaque, Use};
pub use ring::{Ring, RingKey};
pub use signature::{PublicKey, SecretKey};
pub use token::{AccessClaims, AccessToken, Actor, Header, Origin, TYPE, claims_at, reaches_api, seconds};

/// The capacity of the cache of key rings.
const RINGS: usize = 10_000;

/// How long a cached key ring is used without reading it again. The follower of the log usually drops a changed one earlier.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// The shortest time between two reads for an unknown key id: anybody can send made-up ids.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// The directory of tenants; the gateway implements it.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// The tenant with this short name.
    ///
    /// # Errors
    /// When it can't be determined now.
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal>;

    /// The tenant with this id.
    ///
    /// # Errors
    /// When it can't be determined now.
    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal>;
}

/// An existing tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTenant {
    /// Its id.
    pub id: TenantId,
    /// Its short name, which is part of its issuer.
    pub slug: String,
    /// Its display name.
    pub name: String,
}

/// The settings for tokens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our public URL, without a slash at the end: `https://api.example.com`.
    pub public_url: String,
    /// The audience (`aud`) of access tokens for the API.
    pub audience: String,
    /// The tolerated difference between clocks.
    pub leeway: TimeDelta,
    /// The lifetime of an access token.
    pub access: TimeDelta,
    /// How long a new signing key is published before it signs, so that verifiers know it by then.
    pub overlap: TimeDelta,
    /// The age of a signing key at which it is rotated automatically; none: never.
    pub rotation: Option<TimeDelta>,
}

/// The dependencies of an [`Authority`].
pub struct Parts {
    /// The executor over the log of the auth service.
    pub executor: Executor,
    /// The directory of tenants.
    pub tenants: Arc<dyn Tenants>,
    /// Whether each tenant is active, suspended or deleted.
    pub active_tenants: Arc<dyn ActiveTenants>,
    /// The directory of people; none: people can't sign in here.
    pub people: Option<Arc<dyn People>>,
    /// What users may do.
    pub permissions: Arc<dyn Permissions>,
    /// Validates mailed links; none: they can't be followed here.
    pub links: Option<Arc<dyn MailedLinks>>,
    /// Changes the pictures that users have of themselves; none: they can't be changed on pages here.
    pub pictures: Option<Arc<dyn OwnPictures>>,
    /// Admits users whom an identity provider authenticated; none: SAML sign-in is not possible here.
    pub admission: Option<Arc<dyn Admission>>,
    /// The master key that protects the tenants' keys; none: this process can verify tokens, but not sign any.
    pub master: Option<Arc<dyn MasterKey>>,
    /// The source of randomness for secrets.
    pub random: Arc<dyn Random>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The settings for tokens.
    pub settings: Settings,
}

/// Signs tokens, and seals and opens secrets, for all tenants. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    parts: Arc<Parts>,
    rings: Arc<Cache<TenantId, Arc<Ring>>>,
    /// How often key rings were dropped from the cache. A ring whose read began before the last drop is not kept.
    forgotten: Arc<AtomicU64>,
}

impl Authority {
    /// Creates an authority with these dependencies.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), rings: Arc::new(Cache::new(RINGS)), forgotten: Arc::default() }
    }

    /// The settings for tokens.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// The directory of people.
    pub fn people(&self) -> Option<&Arc<dyn People>> {
        self.parts.people.as_ref()
    }

    /// What users may do.
    pub fn permissions(&self) -> &dyn Permissions {
        &*self.parts.permissions
    }

    /// Validates mailed links.
    pub fn links(&self) -> Option<&Arc<dyn MailedLinks>> {
        self.parts.links.as_ref()
    }

    /// Changes the pictures that users have of themselves.
    pub fn pictures(&self) -> Option<&Arc<dyn OwnPictures>> {
        self.parts.pictures.as_ref()
    }

    /// Admits users whom an identity provider authenticated.
    pub fn admission(&self) -> Option<&Arc<dyn Admission>> {
        self.parts.admission.as_ref()
    }

    /// The executor over the log of the auth service.
    pub fn executor(&self) -> &Executor {
        &self.parts.executor
    }

    /// The source of randomness for secrets.
    pub fn random(&self) -> &dyn Random {
        &*self.parts.random
    }

    /// The current time.
    pub fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    /// How long ago a time was, with clocks that may differ by `leeway`: see [`kernel::ago`].
    pub(crate) fn ago(&self, at: DateTime<Utc>) -> Option<TimeDelta> {
        kernel::ago(at, self.now(), self.settings().leeway)
    }

    /// Whether an authentication at this time is recent: see [`kernel::is_recent_authentication`].
    pub(crate) fn is_recent_authentication(&self, authenticated_at: DateTime<Utc>) -> bool {
        kernel::is_recent_authentication(authenticated_at, self.now(), self.settings().leeway)
    }

    /// The current hour, counted from 1970: a key for work that several processes may find due, but only one does per hour.
    pub(crate) fn hour(&self) -> u64 {
        self.now().timestamp().max(0).unsigned_abs() / 3_600
    }

    /// The tenant with this short name.
    ///
    /// # Errors
    /// `tenant_unknown`, or that it can't be determined now.
    pub async fn tenant(&self, slug: &str) -> Result<KnownTenant, Refusal> {
        let found = self.parts.tenants.by_slug(slug).await?;
        found.ok_or_else(|| Refusal::not_found("tenant_unknown", "there is no tenant with this name"))
    }

    /// The tenant with this short name or id.
    ///
    /// # Errors
    /// As [`tenant`](Self::tenant).
    pub async fn tenant_named(&self, name: &str) -> Result<KnownTenant, Refusal> {
        let Ok(id) = kernel::read_uuid(name) else { return self.tenant(name).await };
        #[expect(
            clippy::disallowed_methods,
            reason = "what is known of it comes from the directory, which has to have it"
        )]
        let found = self.parts.tenants.by_id(TenantId::vouched(id)).await?;
        match found {
            Some(found) => Ok(found),
            // A short name may look like an id.
            None => self.tenant(name).await,
        }
    }

    /// Refuses a tenant that is suspended or deleted: requests to its issuer must not sign, open or write anything.
    ///
    /// # Errors
    /// As [`ActiveTenants::check`].
    pub fn admits(&self, tenant: &KnownTenant) -> Result<(), Refusal> {
        self.parts.active_tenants.check(tenant.id)
    }

    /// The issuer of a tenant's tokens.
    pub fn issuer(&self, slug: &str) -> String {
        format!("{}/t/{slug}", self.parts.settings.public_url)
    }

    /// The tenant of an issuer; none: it is not one of ours.
    pub async fn tenant_of_issuer(&self, issuer: &str) -> Result<Option<KnownTenant>, Refusal> {
        let slug = issuer.strip_prefix(&self.parts.settings.public_url).and_then(|rest| rest.strip_prefix("/t/"));
        match slug {
            Some(slug) if !slug.contains('/') => self.parts.tenants.by_slug(slug).await,
            _ => Ok(None),
        }
    }

    /// The tenant with this id, which has to come from the tenant's own data.
    pub async fn tenant_by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        self.parts.tenants.by_id(tenant).await
    }

    /// The tenant's key ring from the cache, at most a minute old, or else from the log; none: it has none.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn ring(&self, tenant: TenantId) -> Result<Option<Arc<Ring>>, Refusal> {
        match self.rings.get(&tenant) {
            Some(ring) if kernel::pauses(ring.loaded_at(), FRESH, self.now()) => Ok(Some(ring)),
            _ => self.load(tenant).await,
        }
    }

    /// The tenant's key ring, if it contains the key with this id.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn verifying_key(&self, tenant: TenantId, kid: &str) -> Result<Option<Arc<Ring>>, Refusal> {
        let Some(ring) = self.ring(tenant).await? else { return Ok(None) };
        if ring.find(kid).is_some() {
            return Ok(Some(ring));
        }
        if kernel::pauses(ring.loaded_at(), LOOK_AGAIN, self.now()) {
            return Ok(None);
        }
        Ok(self.load(tenant).await?.filter(|ring| ring.find(kid).is_some()))
    }

    /// The tenant's key ring; created if there is none yet.
    ///
    /// # Errors
    /// `signing_unavailable` if this process has no master key, or when the log can't be written.
    pub async fn ring_or_open(&self, tenant: TenantId) -> Result<Arc<Ring>, Refusal> {
        if let Some(ring) = self.ring(tenant).await? {
            return Ok(ring);
        }
        // Checked before anything is created: without a master key, this process may only verify.
        self.master()?;
        open_ring(self.executor(), self.random(), self.now(), tenant).await?;
        self.load(tenant).await?.ok_or_else(|| Refusal::internal("keys_missing", "the tenant's keys were not written"))
    }

    /// The tenant's key ring with a key of an algorithm; created if there is none yet. RSA keys are created only for tenants that need one.
    ///
    /// # Errors
    /// As [`ring_or_open`](Self::ring_or_open).
    pub async fn ring_with(&self, tenant: TenantId, algorithm: Algorithm) -> Result<Arc<Ring>, Refusal> {
        let ring = self.ring_or_open(tenant).await?;
        if ring.has(algorithm) {
            return Ok(ring);
        }
        let key = self.tenant_key(tenant, &ring).await?;
        let added = self.make(tenant, algorithm, self.now(), key).await?;
        self.run(&protocol(tenant, "auth"), &AddFirstSigningKey(added)).await?;
        // If a concurrent request has added one first, that one is used.
        let ring = self.load(tenant).await?.filter(|ring| ring.has(algorithm));
        ring.ok_or_else(not_written)
    }

    /// Generates a signing key of a tenant, sealed under the tenant's key.
    async fn make(
        &self,
        tenant: TenantId,
        algorithm: Algorithm,
        signs_from: DateTime<Utc>,
        key: DataKey,
    ) -> Result<SigningKeyAdded, Refusal> {
        let parts = self.parts.clone();
        make(move || ring::new_key(tenant, algorithm, signs_from, &key, &*parts.random)).await
    }

    /// The data key under which the tenant's secrets are sealed.
    ///
    /// # Errors
    /// If this process has no master key, or another one.
    pub async fn tenant_key(&self, tenant: TenantId, ring: &Ring) -> Result<DataKey, Refusal> {
        if let Some(key) = ring.opened() {
            return Ok(key);
        }
        let master = self.master()?;
        let key = match ring.envelope().kind() {
            Enveloped::Sealed(sealed) => self.executor().open_key(tenant_context(tenant), &sealed).await?,
            Enveloped::Wrapped(wrapped) => master.unwrap(tenant_context(tenant), &wrapped).await.map_err(refused)?,
        };
        ring.keep(key.clone());
        Ok(key)
    }

    /// Moves the tenant's data key under the key that the log has for the tenant; older versions wrapped it by the master key. Returns
    /// whether it had to be moved. `dry_run`: changes nothing.
    ///
    /// # Errors
    /// When the master key is unavailable or another one, or the log can't be written.
    pub async fn reseal(&self, tenant: TenantId, dry_run: bool) -> Result<bool, Refusal> {
        let Some(ring) = self.load(tenant).await? else { return Ok(false) };
        if let Enveloped::Sealed(_) = ring.envelope().kind() {
            return Ok(false);
        }
        let key = self.tenant_key(tenant, &ring).await?;
        if dry_run {
            return Ok(true);
        }
        let tenant_key = self.executor().seal_key(tenant_context(tenant), &key).await?.into();
        let reseal = ResealKeyRing { was: ring.envelope().clone(), tenant_key };
        self.run(&protocol(tenant, "auth"), &reseal).await?;
        self.forget(tenant);
        Ok(true)
    }

    /// Drops a tenant's key ring from the cache, because it has changed.
    pub fn forget(&self, tenant: TenantId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.rings.remove(&tenant);
    }

    /// Drops the key rings of all tenants from the cache, because each may have changed.
    pub fn forget_all(&self) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.rings.clear();
    }

    /// Runs a command in the tenant of `caller`.
    ///
    /// # Errors
    /// Those of the command.
    pub async fn run<C: Command>(&self, caller: &Caller, command: &C) -> Result<Done<C::Answer>, Refusal> {
        self.parts.executor.run(caller, command).await
    }

    async fn load(&self, tenant: TenantId) -> Result<Option<Arc<Ring>>, Refusal> {
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let caller = protocol(tenant, "auth");
        let found = self.parts.executor.load::<KeyRing>(&caller, &tenant.to_string()).await?;
        // A ring that was closed counts as none.
        let Some((state, _)) = found.filter(|(state, _)| state.tenant_key.is_some()) else { return Ok(None) };
        let ring = Arc::new(Ring::new(&state, self.now())?);
        self.rings.insert(tenant, ring.clone());
        // The ring was dropped while it was being read, so it may be outdated: the next caller reads it again.
        if self.forgotten.load(Ordering::SeqCst) != forgotten {
            self.rings.remove(&tenant);
        }
        Ok(Some(ring))
    }

    fn master(&self) -> Result<&dyn MasterKey, Refusal> {
        self.parts.master.as_deref().ok_or_else(|| {
            Refusal::unavailable("signing_unavailable", "this process has no master key (INOPSIO_MASTER_KEY)")
        })
    }
}

/// Creates a tenant's key ring; an existing one is kept.
///
/// # Errors
/// When the master key is unavailable, or the log can't be written.
pub async fn open_ring(
    executor: &Executor,
    random: &dyn Random,
    now: DateTime<Utc>,
    tenant: TenantId,
) -> Result<(), Refusal> {
    let key = DataKey::generate(random).map_err(refused)?;
    let tenant_key = executor.seal_key(tenant_context(tenant), &key).await?.into();
    let signing =
        [Algorithm::EdDSA, Algorithm::ES256].map(|algorithm| ring::new_key(tenant, algorithm, now, &key, random));
    let signing = signing.into_iter().collect::<Result<Vec<_>, _>>()?;
    let open = OpenKeyRing { opened: KeyRingOpened { tenant_key }, signing };
    executor.run(&protocol(tenant, "auth"), &open).await.map(drop)
}

/// Generates a key on a low-priority thread: an RSA key takes a good part of a second of CPU time.
async fn make<T: Send + 'static>(making: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let failed = || Refusal::internal("key_unusable", "a key can't be created; see the server's log for the reason");
    at_low_priority(making).await.map_err(|not_done| not_done.refusal(failed))?
}

/// A key was created, but is not in the log.
fn not_written() -> Refusal {
    Refusal::internal("keys_missing", "the tenant's key was not written")
}

fn tenant_context(tenant: TenantId) -> Context<'static> {
    Context { tenant, purpose: "auth.tenant_key", subject: "" }
}

/// The refusal for a key operation that failed.
#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
pub(crate) fn refused(error: keys::Error) -> Refusal {
    eventstore::key_unusable(&error)
}

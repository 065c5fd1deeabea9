//! The authority of a tenant: its issuer, its keys, the tokens that it signs.
//!
//! Everything that signs or opens something goes through an [`Authority`]. It loads a tenant's [`Ring`] from the log, once, and
//! keeps it until an event says that it changed.

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
use executor::{Command, Done, Executor};
use face::{ActiveTenants, Admission, MailedLinks, People};
use kernel::{Caller, Clock, Refusal, TenantId};
use keys::{Context, DataKey, Enveloped, MasterKey, Random};
use quick_cache::sync::Cache;

use crate::low_priority::{Undone, at_low_priority};

pub use api_key::ApiKeyText;
pub use opaque::{Opaque, Use};
pub use ring::{Ring, RingKey};
pub use signature::{PublicKey, SecretKey};
pub use token::{AccessClaims, AccessToken, Actor, Header, Origin, TYPE, claims_at, reaches_api, seconds};

/// How many tenants' keys are kept opened.
const RINGS: usize = 10_000;

/// How long keys are trusted without looking whether there are others: the follower drops them sooner, where it hears of it.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// How often it is looked, at most, for a key that is not known: strangers may name any.
const LOOK_AGAIN: TimeDelta = TimeDelta::seconds(1);

/// Which tenants there are; the gateway knows.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// The tenant with this short name.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn by_slug(&self, slug: &str) -> Result<Option<KnownTenant>, Refusal>;

    /// The tenant with this id.
    ///
    /// # Errors
    /// When it can't be told now.
    async fn by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal>;
}

/// A tenant that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownTenant {
    /// Its id.
    pub id: TenantId,
    /// Its short name, in its issuer.
    pub slug: String,
    /// Its name, for people.
    pub name: String,
}

/// How tokens are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where we are reached, without a slash at the end: `https://api.example.com`.
    pub public_url: String,
    /// For whom access tokens to the API are.
    pub audience: String,
    /// How much clocks may differ.
    pub leeway: TimeDelta,
    /// How long an access token is valid.
    pub access: TimeDelta,
    /// How long a new signing key is only shown, before it signs.
    pub overlap: TimeDelta,
    /// How old a key that signs grows before another one follows by itself; none: however old.
    pub rotation: Option<TimeDelta>,
}

/// What an authority is made of.
pub struct Parts {
    /// Over the log of the auth service.
    pub executor: Executor,
    /// Which tenants there are.
    pub tenants: Arc<dyn Tenants>,
    /// How it stands with them.
    pub active_tenants: Arc<dyn ActiveTenants>,
    /// Who people are; none: people do not sign in here.
    pub people: Option<Arc<dyn People>>,
    /// What mailed links are good for; none: nobody follows one here.
    pub links: Option<Arc<dyn MailedLinks>>,
    /// Who lets people in for whom an identity provider vouches; none: nobody is signed in by one here.
    pub admission: Option<Arc<dyn Admission>>,
    /// What tenants' keys are wrapped by; none: this process verifies, and does not sign.
    pub master: Option<Arc<dyn MasterKey>>,
    /// Where secrets come from.
    pub random: Arc<dyn Random>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How tokens are made.
    pub settings: Settings,
}

/// Signs and opens in the name of tenants. Cheap to clone.
#[derive(Clone)]
pub struct Authority {
    parts: Arc<Parts>,
    rings: Arc<Cache<TenantId, Arc<Ring>>>,
    /// How often keys were forgotten: what was read before that is not kept after it.
    forgotten: Arc<AtomicU64>,
}

impl Authority {
    /// An authority over these parts.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), rings: Arc::new(Cache::new(RINGS)), forgotten: Arc::default() }
    }

    /// How tokens are made.
    pub fn settings(&self) -> &Settings {
        &self.parts.settings
    }

    /// Who people are.
    pub fn people(&self) -> Option<&Arc<dyn People>> {
        self.parts.people.as_ref()
    }

    /// What mailed links are good for.
    pub fn links(&self) -> Option<&Arc<dyn MailedLinks>> {
        self.parts.links.as_ref()
    }

    /// Who lets people in for whom an identity provider vouches.
    pub fn admission(&self) -> Option<&Arc<dyn Admission>> {
        self.parts.admission.as_ref()
    }

    /// The log of the auth service.
    pub fn executor(&self) -> &Executor {
        &self.parts.executor
    }

    /// Where secrets come from.
    pub fn random(&self) -> &dyn Random {
        &*self.parts.random
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    /// How long ago something was, where clocks may differ by `leeway`: see [`kernel::ago`].
    pub(crate) fn ago(&self, at: DateTime<Utc>) -> Option<TimeDelta> {
        kernel::ago(at, self.now(), self.settings().leeway)
    }

    /// Whether somebody who showed who they are at this time has done so a moment ago: see [`kernel::is_sure`].
    pub(crate) fn is_sure(&self, shown_at: DateTime<Utc>) -> bool {
        kernel::is_sure(shown_at, self.now(), self.settings().leeway)
    }

    /// Which hour it is, counted from 1970: what any process may see to be due is done once in it.
    pub(crate) fn hour(&self) -> u64 {
        self.now().timestamp().max(0).unsigned_abs() / 3_600
    }

    /// The tenant with this short name.
    ///
    /// # Errors
    /// `tenant_unknown`, or that it can't be told.
    pub async fn tenant(&self, slug: &str) -> Result<KnownTenant, Refusal> {
        let found = self.parts.tenants.by_slug(slug).await?;
        found.ok_or_else(|| Refusal::not_found("tenant_unknown", "there is no tenant with this name"))
    }

    /// The tenant with this short name or this id, where an address names it.
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

    /// Refuses a tenant that is shut out: nothing is signed, opened or written for strangers who come to its issuer.
    ///
    /// # Errors
    /// As [`ActiveTenants::check`].
    pub fn admits(&self, tenant: &KnownTenant) -> Result<(), Refusal> {
        self.parts.active_tenants.check(tenant.id)
    }

    /// The issuer of a tenant: who its tokens say that they are from.
    pub fn issuer(&self, slug: &str) -> String {
        format!("{}/t/{slug}", self.parts.settings.public_url)
    }

    /// The tenant whose issuer this is; none: it is not one of ours.
    pub async fn tenant_of_issuer(&self, issuer: &str) -> Result<Option<KnownTenant>, Refusal> {
        let slug = issuer.strip_prefix(&self.parts.settings.public_url).and_then(|rest| rest.strip_prefix("/t/"));
        match slug {
            Some(slug) if !slug.contains('/') => self.parts.tenants.by_slug(slug).await,
            _ => Ok(None),
        }
    }

    /// The tenant with this id, which its own data names.
    pub async fn tenant_by_id(&self, tenant: TenantId) -> Result<Option<KnownTenant>, Refusal> {
        self.parts.tenants.by_id(tenant).await
    }

    /// The tenant's keys as they are known here, a minute old at most.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn ring(&self, tenant: TenantId) -> Result<Option<Arc<Ring>>, Refusal> {
        match self.rings.get(&tenant) {
            Some(ring) if kernel::pauses(ring.loaded_at(), FRESH, self.now()) => Ok(Some(ring)),
            _ => self.load(tenant).await,
        }
    }

    /// The tenant's key of this id that verifies.
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

    /// The tenant's keys, made if it has none yet.
    ///
    /// # Errors
    /// `signing_unavailable` where there is no master key, or when the log can't be written.
    pub async fn ring_or_open(&self, tenant: TenantId) -> Result<Arc<Ring>, Refusal> {
        if let Some(ring) = self.ring(tenant).await? {
            return Ok(ring);
        }
        // Before anything is made: this process may only verify.
        self.master()?;
        open_ring(self.executor(), self.random(), self.now(), tenant).await?;
        self.load(tenant).await?.ok_or_else(|| Refusal::internal("keys_missing", "the tenant's keys were not written"))
    }

    /// The tenant's keys, with one of an algorithm among them, made if there is none yet: those of RSA are made for who needs them only.
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
        // Another request may have been faster: then it is that one's.
        let ring = self.load(tenant).await?.filter(|ring| ring.has(algorithm));
        ring.ok_or_else(not_written)
    }

    /// A fresh signing key of a tenant, sealed under its key.
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

    /// The key under which the tenant's secrets are sealed.
    ///
    /// # Errors
    /// Where there is no master key, or another one.
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

    /// Sees to it that the tenant's key is sealed under the key that the log has for the tenant: once it was wrapped by the master key. Answers
    /// whether it was to be changed; `rehearsed`: it is not.
    ///
    /// # Errors
    /// When the master key can't be asked or is another one, or the log can't be written.
    pub async fn reseal(&self, tenant: TenantId, rehearsed: bool) -> Result<bool, Refusal> {
        let Some(ring) = self.load(tenant).await? else { return Ok(false) };
        if let Enveloped::Sealed(_) = ring.envelope().kind() {
            return Ok(false);
        }
        let key = self.tenant_key(tenant, &ring).await?;
        if rehearsed {
            return Ok(true);
        }
        let tenant_key = self.executor().seal_key(tenant_context(tenant), &key).await?.into();
        let reseal = ResealKeyRing { was: ring.envelope().clone(), tenant_key };
        self.run(&protocol(tenant, "auth"), &reseal).await?;
        self.forget(tenant);
        Ok(true)
    }

    /// Forgets a tenant's keys: they changed.
    pub fn forget(&self, tenant: TenantId) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.rings.remove(&tenant);
    }

    /// Carries a command out in the tenant of `caller`.
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
        // One that was closed is none.
        let Some((state, _)) = found.filter(|(state, _)| state.tenant_key.is_some()) else { return Ok(None) };
        let ring = Arc::new(Ring::new(&state, self.now())?);
        self.rings.insert(tenant, ring.clone());
        // They changed while they were read: whoever comes next reads them again.
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

/// Gives a tenant its keys; one that has them keeps them.
///
/// # Errors
/// When the master key can't be asked, or the log can't be written.
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

/// Makes a key where nobody else waits for it: one of RSA takes a good part of a second of a processor's time.
async fn make<T: Send + 'static>(making: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    at_low_priority(making).await.map_err(|undone| match undone {
        Undone::Busy => Refusal::unavailable(
            "sign_in_busy",
            "too many users are signing in at the same time; try again in a moment",
        ),
        Undone::Failed => {
            Refusal::internal("key_unusable", "a key can't be created; see the server's log for the reason")
        }
    })?
}

/// A key was made, and is not there.
fn not_written() -> Refusal {
    Refusal::internal("keys_missing", "the tenant's key was not written")
}

fn tenant_context(tenant: TenantId) -> Context<'static> {
    Context { tenant, purpose: "auth.tenant_key", subject: "" }
}

/// A key that does not do its work.
#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
pub(crate) fn refused(error: keys::Error) -> Refusal {
    executor::refusal_of_key_error(&error)
}

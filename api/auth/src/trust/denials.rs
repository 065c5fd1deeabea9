//! What callers who are known were denied, in whichever service: the first time is on record at once, and how often it was by now after
//! a minute, after two more, after four … for an hour; then it begins anew. So a flood is a handful of records, and nobody waits for any.
//!
//! Each process counts by itself and writes to the log of signing in, as it does of [tokens](super::noted) that are refused. What it counted and
//! did not write yet is lost with it when it is killed: the first time is not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth_aggregates::{AccessId, Place};
use auth_commands::{NoteDeniedAccess, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use face::Denied;
use kernel::{Caller, Refusal, TenantId};
use keys::Context;
use poem::http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::authority::Authority;

/// How long the same denials of the same caller are one record.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// After how long it is told how often it was; then after twice as long each time.
const TELL: TimeDelta = TimeDelta::minutes(1);

/// How often it is looked what is to be told.
const LOOK: Duration = Duration::from_secs(10);

/// How many records of a tenant this process keeps at once; what comes on top of them is counted in one.
const MOST: usize = 1_000;

/// How many of them are of one caller; what comes on top of these is counted in one of theirs.
const MOST_EACH: usize = 100;

/// Why what is counted in that one was denied, in a word.
const OTHERS: &str = "others";

/// Somebody would give what they do not have themselves. What that is they choose: it makes no record of its own.
const EXCEEDING: &str = "exceeds_own_permissions";

/// How many characters of permissions are kept.
const NAMED: usize = 500;

/// How many bytes of an address's keyed hash are kept, and how many characters of what a program says that it is.
const ORIGIN: usize = 16;
const AGENT: usize = 200;

/// A request, as far as a record of it says.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its id.
    pub request: Uuid,
    /// From which address it came, where that is known.
    pub address: Option<IpAddr>,
    /// What the program said that it is.
    pub agent: Option<HeaderValue>,
}

/// Puts denials on record. Cheap to clone.
#[derive(Clone)]
pub struct Denials {
    authority: Authority,
    windows: Arc<Mutex<HashMap<TenantId, HashMap<Key, Window>>>>,
    tasks: TaskTracker,
}

/// What is one record: whose, why and of what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// None: many.
    subject: Option<Arc<str>>,
    reason: String,
    /// None: any.
    permission: Option<String>,
}

impl Key {
    /// This one as long as there is room for it, else one that counts many.
    fn or_others(self, windows: &HashMap<Self, Window>) -> Self {
        if windows.contains_key(&self) {
            return self;
        }
        let others = |subject| Self { subject, reason: OTHERS.to_owned(), permission: None };
        let of_theirs = windows.keys().filter(|known| known.subject == self.subject).count();
        let key = if of_theirs < MOST_EACH { self } else { others(self.subject) };
        if windows.contains_key(&key) || windows.len() < MOST { key } else { others(None) }
    }
}

/// A record, and what it does not say yet.
#[derive(Clone, Debug)]
struct Window {
    access: AccessId,
    /// The permission; of many, those of the first time.
    permission: Option<String>,
    operation: Option<String>,
    seen: Option<Seen>,
    at: DateTime<Utc>,
    times: u64,
    last_at: DateTime<Utc>,
    /// How often it says that it was; 0: it is not written yet.
    told: u64,
    tell_at: DateTime<Utc>,
    tell_after: TimeDelta,
}

impl Denials {
    /// Over the log of signing in.
    pub fn new(authority: Authority) -> Self {
        Self { authority, windows: Arc::default(), tasks: TaskTracker::new() }
    }

    /// A caller was denied something, which they asked for by `operation`. Whoever answers them does not wait for the record.
    pub fn note(&self, caller: &Caller, seen: &Seen, operation: &str, denied: &Denied) {
        let (tenant, now) = (caller.tenant(), self.authority.now());
        let key = Key {
            subject: Some(caller.subject().into()),
            reason: denied.code.clone(),
            permission: denied.permission.clone().filter(|_| denied.code != EXCEEDING),
        };
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = tenants.entry(tenant).or_default();
        let key = key.or_others(windows);
        let named = denied.permission.as_ref().filter(|_| key.reason == denied.code);
        let mut begun = Window {
            access: self.authority.executor().new_id(),
            permission: named.map(|text| text.chars().take(NAMED).collect()),
            operation: key.subject.is_some().then(|| operation.to_owned()),
            seen: key.subject.is_some().then(|| seen.clone()),
            at: now,
            times: 1,
            last_at: now,
            told: 0,
            tell_at: now + TELL,
            tell_after: TELL * 2,
        };
        match windows.get_mut(&key) {
            Some(window) if !self.is_over(window) => {
                window.times += 1;
                window.last_at = now;
            }
            Some(window) => {
                std::mem::swap(window, &mut begun);
                let over = begun;
                self.write(tenant, &key, window);
                if over.told < over.times {
                    self.write(tenant, &key, &over);
                }
            }
            None => {
                self.write(tenant, &key, &begun);
                windows.insert(key, begun);
            }
        }
    }

    /// Writes how often it was by now, where that is due, and forgets what is over.
    pub fn tell(&self) {
        self.tell_if(|window, now| now >= window.tell_at || self.is_over(window));
        let now = self.authority.now();
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for windows in tenants.values_mut() {
            // What could not be written for an hour more is given up.
            windows.retain(|_, window| {
                !self.is_over(window) || (window.told < window.times && now - window.at < WINDOW * 2)
            });
        }
        tenants.retain(|_, windows| !windows.is_empty());
    }

    /// Whether a record counts no more: its hour is over, or began by a clock that was ahead.
    fn is_over(&self, window: &Window) -> bool {
        self.authority.ago(window.at).is_none_or(|ago| ago >= WINDOW)
    }

    /// Looks what is to be told until `shutdown`.
    pub async fn keep_telling(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.tell();
        }
    }

    /// Writes what is not written yet, and waits until it is: the process ends.
    pub async fn finish(&self) {
        self.settle().await;
        self.tell_if(|_, _| true);
        self.settle().await;
    }

    async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn tell_if(&self, due: impl Fn(&Window, DateTime<Utc>) -> bool) {
        let now = self.authority.now();
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, windows) in tenants.iter_mut() {
            for (key, window) in windows.iter_mut() {
                if window.told < window.times && due(window, now) {
                    window.tell_at = now + window.tell_after;
                    window.tell_after = window.tell_after * 2;
                    self.write(*tenant, key, window);
                }
            }
        }
    }

    fn write(&self, tenant: TenantId, key: &Key, window: &Window) {
        let (denials, key, window) = (self.clone(), key.clone(), window.clone());
        self.tasks.spawn(async move {
            if let Err(refusal) = denials.record(tenant, &key, &window).await {
                tracing::warn!(%tenant, reason = key.reason, %refusal, "that a caller was denied something could not be noted");
                return;
            }
            let mut tenants = denials.windows.lock().unwrap_or_else(PoisonError::into_inner);
            let noted = tenants.get_mut(&tenant).and_then(|windows| windows.get_mut(&key));
            if let Some(noted) = noted.filter(|noted| noted.access == window.access) {
                noted.told = noted.told.max(window.times);
            }
        });
    }

    async fn record(&self, tenant: TenantId, key: &Key, window: &Window) -> Result<(), Refusal> {
        // Nothing is written of a tenant that there is not, or that is shut out.
        let known = self.authority.tenant_by_id(tenant).await?;
        if known.is_none_or(|known| self.authority.admits(&known).is_err()) {
            return Ok(());
        }
        let seen = window.seen.as_ref();
        let address = seen.and_then(|seen| seen.address);
        let agent = seen.and_then(|seen| seen.agent.as_ref()?.to_str().ok());
        let agent = agent.map(|agent| agent.chars().take(AGENT).collect::<String>());
        let origin = match address {
            Some(address) => self.origin(tenant, address).await?,
            None => None,
        };
        let note = NoteDeniedAccess {
            access: window.access,
            subject: key.subject.as_deref().map(str::to_owned),
            reason: key.reason.clone(),
            permission: window.permission.clone(),
            operation: window.operation.clone(),
            request: seen.map(|seen| seen.request),
            at: window.at,
            place: Place { address: address.map(|address| address.to_string().into()), agent: agent.map(Into::into) },
            origin,
            times: window.times,
            last_at: window.last_at,
        };
        let executor = self.authority.executor();
        let mut request = executor.internal_request(&protocol(tenant, "auth"), None);
        if let Some(seen) = seen {
            (request.correlation_id, request.causation_id) = (seen.request, seen.request);
        }
        executor.execute(&request, &note).await.map(drop)
    }

    /// What is kept of an address of who can't have it erased; none: this process, or the tenant, has no key for it.
    async fn origin(&self, tenant: TenantId, address: IpAddr) -> Result<Option<String>, Refusal> {
        let Some(ring) = self.authority.ring(tenant).await? else { return Ok(None) };
        let Ok(key) = self.authority.tenant_key(tenant, &ring).await else { return Ok(None) };
        let context = Context { tenant, purpose: "auth.sign_in.origin", subject: "" };
        Ok(Some(hex::encode(&key.mac(context, address.to_string().as_bytes())[..ORIGIN])))
    }
}

//! Records of denied requests of authenticated callers, in all services. The first denial is recorded at once; its record is updated with
//! the count after a minute, after two more, after four and so on, for an hour. Then a new record begins. So a flood leads to a handful of
//! events, and no request waits for any.
//!
//! Each process counts by itself and writes to the log of the auth service, as it does for refused [tokens](super::refused_tokens). A
//! process that is killed loses the counts that it has not written yet, but not the first denial.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use auth_aggregates::AccessId;
use auth_commands::{NoteDeniedAccess, protocol};
use chrono::{DateTime, TimeDelta, Utc};
use face::Denied;
use kernel::{Caller, Refusal, TenantId};
use poem::http::HeaderValue;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::authority::Authority;
use crate::origin;

/// How long equal denials of one caller are counted in one record.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// After how long the count of a record is first updated; each further interval is twice as long.
const WRITE_AFTER: TimeDelta = TimeDelta::minutes(1);

/// How often due updates are written.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

/// The most records that this process counts in for a tenant; further denials are counted in one common record.
const MOST: usize = 1_000;

/// The most of those records for one caller; further denials of the caller are counted in one common record of theirs.
const MOST_EACH: usize = 100;

/// The reason in a common record.
const OTHERS: &str = "others";

/// The code of refusals to grant permissions that the caller lacks. The caller chooses which permissions to grant, so these do not make
/// separate records.
const EXCEEDING: &str = "exceeds_own_permissions";

/// The most characters of permissions that are kept.
const NAMED: usize = 500;

/// The properties of a request that its record contains.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its id.
    pub request: Uuid,
    /// The client's IP address, if known.
    pub address: Option<IpAddr>,
    /// The client's user agent.
    pub agent: Option<HeaderValue>,
}

/// Records denials. Cheap to clone.
#[derive(Clone)]
pub struct Denials {
    authority: Authority,
    windows: Arc<Mutex<HashMap<TenantId, HashMap<Key, Window>>>>,
    tasks: TaskTracker,
}

/// What distinguishes records: the caller, the reason and the permission.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The caller; none: several.
    subject: Option<Arc<str>>,
    reason: String,
    /// The permission; none: any.
    permission: Option<String>,
}

impl Key {
    /// This key, if it exists or there is room for it; else that of a common record.
    fn or_common(self, windows: &HashMap<Self, Window>) -> Self {
        if windows.contains_key(&self) {
            return self;
        }
        let others = |subject| Self { subject, reason: OTHERS.to_owned(), permission: None };
        let of_theirs = windows.keys().filter(|known| known.subject == self.subject).count();
        let key = if of_theirs < MOST_EACH { self } else { others(self.subject) };
        if windows.contains_key(&key) || windows.len() < MOST { key } else { others(None) }
    }
}

/// The state of a record, and what has not been written of it yet.
#[derive(Clone, Debug)]
struct Window {
    access: AccessId,
    /// The permission; in a common record, that of the first denial.
    permission: Option<String>,
    operation: Option<String>,
    seen: Option<Seen>,
    at: DateTime<Utc>,
    times: u64,
    last_at: DateTime<Utc>,
    /// The count that was last written; 0: the record is not written yet.
    written: u64,
    next_write_at: DateTime<Utc>,
    write_interval: TimeDelta,
}

impl Denials {
    /// Writes to the log of the auth service.
    pub fn new(authority: Authority) -> Self {
        Self { authority, windows: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Records that a caller was denied `operation`, in the background.
    pub fn note(&self, caller: &Caller, seen: &Seen, operation: &str, denied: &Denied) {
        let (tenant, now) = (caller.tenant(), self.authority.now());
        let key = Key {
            subject: Some(caller.subject().into()),
            reason: denied.code.clone(),
            permission: denied.permission.clone().filter(|_| denied.code != EXCEEDING),
        };
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let windows = tenants.entry(tenant).or_default();
        let key = key.or_common(windows);
        let named = denied.permission.as_ref().filter(|_| key.reason == denied.code);
        let mut begun = Window {
            access: self.authority.executor().new_id(),
            permission: named.map(|text| text.chars().take(NAMED).collect()),
            operation: key.subject.is_some().then(|| operation.to_owned()),
            seen: key.subject.is_some().then(|| seen.clone()),
            at: now,
            times: 1,
            last_at: now,
            written: 0,
            next_write_at: now + WRITE_AFTER,
            write_interval: WRITE_AFTER * 2,
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
                if over.written < over.times {
                    self.write(tenant, &key, &over);
                }
            }
            None => {
                self.write(tenant, &key, &begun);
                windows.insert(key, begun);
            }
        }
    }

    /// Writes the counts that are due, and drops finished records from memory.
    pub fn write_due(&self) {
        self.write_if(|window, now| now >= window.next_write_at || self.is_over(window));
        let now = self.authority.now();
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for windows in tenants.values_mut() {
            // A count that could not be written for another hour is given up.
            windows.retain(|_, window| {
                !self.is_over(window) || (window.written < window.times && now - window.at < WINDOW * 2)
            });
        }
        tenants.retain(|_, windows| !windows.is_empty());
    }

    /// Whether a record is finished: its hour has passed, or it began by a clock that was ahead.
    fn is_over(&self, window: &Window) -> bool {
        self.authority.ago(window.at).is_none_or(|ago| ago >= WINDOW)
    }

    /// Writes due counts until `shutdown`.
    pub async fn write_periodically(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(WRITE_INTERVAL);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write_due();
        }
    }

    /// Writes everything that is not written yet and waits for it, before the process ends.
    pub async fn finish(&self) {
        self.settle().await;
        self.write_if(|_, _| true);
        self.settle().await;
    }

    async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn write_if(&self, due: impl Fn(&Window, DateTime<Utc>) -> bool) {
        let now = self.authority.now();
        let mut tenants = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for (tenant, windows) in tenants.iter_mut() {
            for (key, window) in windows.iter_mut() {
                if window.written < window.times && due(window, now) {
                    window.next_write_at = now + window.write_interval;
                    window.write_interval = window.write_interval * 2;
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
                noted.written = noted.written.max(window.times);
            }
        });
    }

    async fn record(&self, tenant: TenantId, key: &Key, window: &Window) -> Result<(), Refusal> {
        // Nothing is written for a tenant that does not exist, or is suspended or deleted.
        let known = self.authority.tenant_by_id(tenant).await?;
        if known.is_none_or(|known| self.authority.admits(&known).is_err()) {
            return Ok(());
        }
        let seen = window.seen.as_ref();
        let address = seen.and_then(|seen| seen.address);
        let agent = seen.and_then(|seen| seen.agent.as_ref()?.to_str().ok());
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
            place: origin::place(address, agent),
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

    /// The keyed hash of an address, whose owner could not request its erasure; none: this process or the tenant has no key for it.
    async fn origin(&self, tenant: TenantId, address: IpAddr) -> Result<Option<String>, Refusal> {
        let Some(ring) = self.authority.ring(tenant).await? else { return Ok(None) };
        let Ok(key) = self.authority.tenant_key(tenant, &ring).await else { return Ok(None) };
        Ok(Some(origin::pseudonym(tenant, &key, address)))
    }
}

//! Rate limits: requests per second, by tenant and by token.

use std::num::NonZeroU32;
use std::time::Duration;

use config::RateLimits;
use face::Problem;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter as Governor};
use kernel::{Refusal, TenantId};
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use super::failure::{retry_after, seconds};

type Keyed<K> = Governor<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// Counts requests.
pub struct RateLimiter {
    clock: DefaultClock,
    tenants: Option<Keyed<TenantId>>,
    tokens: Option<Keyed<u64>>,
}

/// A caller's rate limit and what is left of it.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    of: &'static str,
    limit: u32,
    remaining: u32,
    wait: Option<Duration>,
}

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

impl RateLimiter {
    /// A limiter with these rates; a rate of 0 means no limit.
    pub fn new(limits: &RateLimits) -> Self {
        Self {
            clock: DefaultClock::default(),
            tenants: quota(limits.tenant_per_second, limits.tenant_burst).map(keyed),
            tokens: quota(limits.token_per_second, limits.token_burst).map(keyed),
        }
    }

    /// Counts a request. Returns the state of the limit that is closer to being reached. None: there are no limits.
    pub fn check(&self, tenant: TenantId, token: u64) -> Option<Allowance> {
        let by_token = self.tokens.as_ref().map(|limiter| self.count(limiter, &token, "token"));
        if by_token.is_some_and(|allowance| allowance.wait.is_some()) {
            return by_token;
        }
        let by_tenant = self.tenants.as_ref().map(|limiter| self.count(limiter, &tenant, "tenant"));
        match (by_token, by_tenant) {
            (Some(token), Some(tenant)) if tenant.wait.is_none() && token.remaining < tenant.remaining => Some(token),
            (token, tenant) => tenant.or(token),
        }
    }

    /// Removes buckets that are full again.
    pub fn tidy(&self) {
        if let Some(tenants) = &self.tenants {
            tenants.retain_recent();
        }
        if let Some(tokens) = &self.tokens {
            tokens.retain_recent();
        }
    }

    fn count<K: std::hash::Hash + Eq + Clone>(&self, limiter: &Keyed<K>, key: &K, of: &'static str) -> Allowance {
        match limiter.check_key(key) {
            Ok(state) => {
                let limit = state.quota().burst_size().get();
                Allowance { of, limit, remaining: state.remaining_burst_capacity(), wait: None }
            }
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.clock.now());
                Allowance { of, limit: not_until.quota().burst_size().get(), remaining: 0, wait: Some(wait) }
            }
        }
    }
}

impl Allowance {
    /// The refusal, if nothing is left.
    pub fn refusal(&self) -> Option<Problem> {
        let wait = self.wait?;
        let refusal = Refusal::rate_limited(
            "rate_limited",
            format!(
                "too many requests for this {}; wait as long as Retry-After says, then send fewer requests",
                self.of
            ),
        )
        .with("limited", self.of)
        .with("retry_after", seconds(wait));
        Some(retry_after(refusal.into(), wait))
    }

    /// Writes the `RateLimit-*` headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(LIMIT, HeaderValue::from(self.limit));
        headers.insert(REMAINING, HeaderValue::from(self.remaining));
        headers.insert(RESET, HeaderValue::from(self.wait.map_or(0, |wait| wait.as_secs() + 1)));
    }
}

fn quota(per_second: u32, burst: u32) -> Option<Quota> {
    let per_second = NonZeroU32::new(per_second)?;
    Some(Quota::per_second(per_second).allow_burst(NonZeroU32::new(burst).unwrap_or(per_second)))
}

fn keyed<K: std::hash::Hash + Eq + Clone>(quota: Quota) -> Keyed<K> {
    Governor::dashmap(quota).with_middleware::<StateInformationMiddleware>()
}

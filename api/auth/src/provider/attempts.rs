//! How often somebody may fail. Counted are only attempts that failed, by what they were aimed at and by where they came from:
//! who knows the secret is not locked out by who does not, unless both come from the same place.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use kernel::TenantId;

use super::OAuthError;

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, DefaultClock, NoOpMiddleware>;

/// What an attempt was aimed at, from where.
type Aim = (TenantId, String, Option<IpAddr>);

/// Counts attempts that failed.
pub struct Attempts {
    clock: DefaultClock,
    /// At one thing from one place.
    aims: Limiter<Aim>,
    /// From one place, at anything: spraying.
    places: Limiter<IpAddr>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self {
            clock: DefaultClock::default(),
            aims: RateLimiter::keyed(quota(10, Duration::from_secs(30))),
            places: RateLimiter::keyed(quota(100, Duration::from_secs(3))),
        }
    }
}

impl Attempts {
    /// Counts an attempt that failed.
    ///
    /// # Errors
    /// `slow_down` when there were too many: this one is neither answered nor recorded.
    pub fn failed(&self, tenant: TenantId, aim: &str, address: Option<IpAddr>) -> Result<(), OAuthError> {
        let now = self.clock.now();
        let wait = |until: governor::NotUntil<_>| OAuthError::slow_down(until.wait_time_from(now).as_secs() + 1);
        if let Some(address) = address {
            self.places.check_key(&address).map_err(wait)?;
        }
        self.aims.check_key(&(tenant, aim.to_owned(), address)).map_err(wait)
    }

    /// Forgets those who waited long enough.
    pub fn tidy(&self) {
        self.aims.retain_recent();
        self.places.retain_recent();
    }
}

/// So many at once, and another one after each `pause`.
fn quota(burst: u32, pause: Duration) -> Quota {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(pause).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN)).allow_burst(burst)
}

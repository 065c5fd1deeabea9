//! Rate limits for attempts to authenticate. They make guessing slow, but somebody who does not know a secret must not be able to lock out
//! its owner:
//!
//! - attempts at one target from one network are counted before the secret is compared, so that parallel requests can't evade the limit;
//! - failures are counted afterwards by network (password spraying), by account (guessing from many networks) and by tenant; above one of
//!   these limits, further attempts are refused for a while, whether the secret is right or wrong;
//! - a browser in which the user signed in before sends a [cookie](super::browser) that says so. Its attempts are counted separately and
//!   are exempt from the limits by network, account and tenant. An attacker who fails on purpose therefore slows down other attackers and
//!   new browsers, but nobody else.
//!
//! Requests that need no credentials and are recorded in the log (a self-registration, or a public client's device authorization request)
//! are counted by network and by tenant before they are executed.
//!
//! The counters are in this process's memory, so with several processes the limits are several times as high.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{NotUntil, Quota, RateLimiter};
use kernel::TenantId;
use quick_cache::sync::Cache;
use uuid::Uuid;

use super::OAuthError;

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, MonotonicClock, NoOpMiddleware<Duration>>;

/// The capacity of each cache of keys (networks, accounts or tenants) that are refused for a while.
const MAX_REFUSED_KEYS: usize = 10_000;

/// What an attempt targets, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttemptTarget {
    /// The tenant.
    pub tenant: TenantId,
    /// The target: a client's id, the login name that was typed, or what else is attempted (such as a registration).
    pub at: String,
    /// The client's network, if known.
    pub network: Option<IpAddr>,
    /// The user who signed in with this browser before, if its cookie shows one.
    pub browser: Option<Uuid>,
}

/// A monotonic clock for the limiters. It gives the time that has passed since an arbitrary start.
#[derive(Clone)]
struct MonotonicClock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock for MonotonicClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

/// The rate limiters of all attempts.
pub struct Attempts {
    clock: MonotonicClock,
    /// Attempts, by target and network (or browser).
    tries: Limiter<AttemptTarget>,
    networks: Failures<IpAddr>,
    accounts: Failures<(TenantId, String)>,
    tenants: Failures<TenantId>,
    /// Requests without credentials, by tenant and network.
    anonymous_by_network: Limiter<(TenantId, Option<IpAddr>)>,
    /// Requests without credentials, by tenant.
    anonymous_by_tenant: Limiter<TenantId>,
}

/// Counts failures by a key, and refuses attempts with this key after too many of them.
struct Failures<K: Hash + Eq + Clone> {
    limiter: Limiter<K>,
    /// Until when each key is refused.
    refused_until: Cache<K, Duration>,
}

impl AttemptTarget {
    /// An attempt at the target `at`, from an IP address.
    pub fn new(tenant: TenantId, at: impl Into<String>, address: Option<IpAddr>) -> Self {
        Self { tenant, at: at.into(), network: address.map(network), browser: None }
    }
}

impl Default for Attempts {
    fn default() -> Self {
        // A monotonic clock: if the wall clock were corrected, limits would be lifted too early or too late.
        let clock = DefaultClock::default();
        let began = clock.now();
        Self::with_clock(move || clock.now().duration_since(began).into())
    }
}

impl Attempts {
    /// The limiters with a monotonic clock. `passed` returns the time that has passed since an arbitrary start.
    pub fn with_clock(passed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let clock = MonotonicClock(Arc::new(passed));
        Self {
            tries: limiter(10, Duration::from_secs(30), &clock),
            networks: Failures::new(limiter(100, Duration::from_secs(3), &clock)),
            accounts: Failures::new(limiter(50, Duration::from_mins(1), &clock)),
            tenants: Failures::new(limiter(1_000, Duration::from_millis(500), &clock)),
            anonymous_by_network: limiter(30, Duration::from_secs(5), &clock),
            anonymous_by_tenant: limiter(1_000, Duration::from_millis(500), &clock),
            clock,
        }
    }

    /// Counts an attempt, before the secret is compared.
    ///
    /// # Errors
    /// `slow_down` when there were too many: this one is neither answered nor recorded.
    pub fn begin(&self, target: &AttemptTarget) -> Result<(), OAuthError> {
        let now = self.clock.now();
        if target.browser.is_none() {
            if let Some(network) = target.network {
                self.networks.check(&network, now)?;
            }
            self.accounts.check(&(target.tenant, target.at.clone()), now)?;
            self.tenants.check(&target.tenant, now)?;
        }
        // A browser's cookie may be stolen, so all its attempts are counted together, from whichever network they come.
        let target = AttemptTarget { network: target.network.filter(|_| target.browser.is_none()), ..target.clone() };
        self.tries.check_key(&target).map_err(|until| OAuthError::slow_down(until.wait_time_from(now)))
    }

    /// Counts a refused credential that can't be guessed (256 random bits, or a signature). It does not count towards the limits by account
    /// and by tenant.
    ///
    /// # Errors
    /// `slow_down` when there were too many: this one is neither answered nor recorded.
    pub fn refused(&self, target: &AttemptTarget) -> Result<(), OAuthError> {
        let now = self.clock.now();
        let slow_down = |until: NotUntil<_>| OAuthError::slow_down(until.wait_time_from(now));
        if let Some(network) = target.network {
            self.networks.limiter.check_key(&network).map_err(slow_down)?;
        }
        self.tries.check_key(target).map_err(slow_down)
    }

    /// Counts a request that needs no credentials and is recorded in the log.
    ///
    /// # Errors
    /// `too_many_requests` when there were too many: this one is neither answered nor recorded.
    pub fn begin_anonymous(&self, tenant: TenantId, address: Option<IpAddr>) -> Result<(), OAuthError> {
        let now = self.clock.now();
        let too_many = |until: NotUntil<_>| OAuthError::too_many_requests(until.wait_time_from(now));
        self.anonymous_by_network.check_key(&(tenant, address.map(network))).map_err(too_many)?;
        self.anonymous_by_tenant.check_key(&tenant).map_err(too_many)
    }

    /// Counts a failed attempt.
    pub fn failed(&self, target: &AttemptTarget) {
        let now = self.clock.now();
        if target.browser.is_none() {
            if let Some(network) = target.network {
                self.networks.count(&network, now);
            }
            self.accounts.count(&(target.tenant, target.at.clone()), now);
            self.tenants.count(&target.tenant, now);
        }
    }

    /// Removes the counters that have recovered all their attempts, to free their memory.
    pub fn tidy(&self) {
        self.tries.retain_recent();
        self.networks.limiter.retain_recent();
        self.accounts.limiter.retain_recent();
        self.tenants.limiter.retain_recent();
        self.anonymous_by_network.retain_recent();
        self.anonymous_by_tenant.retain_recent();
    }
}

impl<K: Hash + Eq + Clone> Failures<K> {
    fn new(limiter: Limiter<K>) -> Self {
        Self { limiter, refused_until: Cache::new(MAX_REFUSED_KEYS) }
    }

    fn check(&self, key: &K, now: Duration) -> Result<(), OAuthError> {
        match self.refused_until.get(key) {
            Some(until) if now < until => Err(OAuthError::slow_down(until.saturating_sub(now))),
            _ => Ok(()),
        }
    }

    fn count(&self, key: &K, now: Duration) {
        if let Err(until) = self.limiter.check_key(key) {
            self.refused_until.insert(key.clone(), now + until.wait_time_from(now));
        }
    }
}

/// The network of an address: an IPv4 address itself, or the /64 prefix of an IPv6 address, because one subscriber has all its 2^64
/// addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::from(octets)
        }
    }
}

/// A token bucket of `burst` attempts that regains one after each `pause`.
fn limiter<K: Hash + Eq + Clone>(burst: u32, pause: Duration, clock: &MonotonicClock) -> Limiter<K> {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(pause).unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
    RateLimiter::new(quota, DashMapStateStore::default(), clock.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn target(at: &str, host: u8) -> AttemptTarget {
        let tenant = TenantId::vouched(Uuid::from_u128(1));
        AttemptTarget::new(tenant, at, Some(IpAddr::from([192, 0, 2, host])))
    }

    /// Limits whose clock stands still.
    fn at_once() -> Attempts {
        Attempts::with_clock(|| Duration::ZERO)
    }

    #[test]
    fn attack_16_who_guesses_from_many_networks_is_held_and_the_persons_own_browser_is_not() {
        let attempts = at_once();
        let guess = |host| {
            let target = target("ada", host);
            attempts.begin(&target).map(|()| attempts.failed(&target)).is_ok()
        };
        let guessed = (1..=200).filter(|host| guess(*host)).count();
        assert!((50..=52).contains(&guessed), "{guessed} guesses from as many networks");
        assert!(attempts.begin(&target("ada", 201)).is_err(), "a new browser waits");
        let own = AttemptTarget { browser: Some(Uuid::from_u128(7)), ..target("ada", 202) };
        assert!(attempts.begin(&own).is_ok(), "the person is locked out");
        assert!(attempts.begin(&target("bob", 203)).is_ok(), "somebody else is locked out");
    }

    #[test]
    fn who_sprays_from_one_network_is_held_and_those_who_succeed_from_there_do_not_count() {
        let attempts = at_once();
        for person in 0..500 {
            attempts.begin(&target(&format!("person {person}"), 1)).expect("a whole office signs in");
        }
        let tried = (0..500).filter(|person| {
            let target = target(&format!("victim {person}"), 1);
            attempts.begin(&target).map(|()| attempts.failed(&target)).is_ok()
        });
        let tried = tried.count();
        assert!((100..=103).contains(&tried), "{tried} accounts were tried");
        assert!(attempts.begin(&target("victim 1", 2)).is_ok(), "another network is held");
        let own = AttemptTarget { browser: Some(Uuid::from_u128(7)), ..target("victim 1", 1) };
        assert!(
            attempts.begin(&own).is_ok(),
            "whoever has signed in there before is locked out by a stranger beside them"
        );
    }

    #[test]
    fn who_asks_for_codes_from_one_network_is_slowed_down_and_others_are_not() {
        let (attempts, tenant) = (at_once(), target("", 1).tenant);
        let from = |host| attempts.begin_anonymous(tenant, Some(IpAddr::from([192, 0, 2, host])));
        let asked = (0..100).filter(|_| from(1).is_ok()).count();
        assert!((30..=32).contains(&asked), "{asked} were asked for");
        from(2).expect("another network is slowed down");
        // Requests from many networks reach the limit of the tenant.
        let many = (0..=255).flat_map(|net| (0..=255).map(move |host| IpAddr::from([10, 0, net, host])));
        let asked = many.take(5_000).filter(|address| attempts.begin_anonymous(tenant, Some(*address)).is_ok()).count();
        assert!((900..=1_000).contains(&asked), "{asked} were asked for in all");
    }

    #[test]
    fn who_waited_is_listened_to_again() {
        let passed = Arc::new(AtomicU64::new(0));
        let (clock, pass) = (passed.clone(), |seconds| passed.fetch_add(seconds, Ordering::Relaxed));
        let attempts = Attempts::with_clock(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        let tries = || (0..20).filter(|_| attempts.begin(&target("ada", 1)).is_ok()).count();
        assert_eq!(tries(), 10);
        pass(29);
        assert_eq!(tries(), 0);
        pass(31);
        assert_eq!(tries(), 2, "one each half minute");
        (1..=51).for_each(|host| attempts.failed(&target("bob", host)));
        assert!(attempts.begin(&target("bob", 52)).is_err());
        pass(60);
        assert!(attempts.begin(&target("bob", 52)).is_ok());
    }

    #[test]
    fn an_address_of_the_newer_kind_counts_with_its_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}

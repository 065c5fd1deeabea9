//! Limits on the number of text messages. Each message costs money, some go to numbers whose owners earn from it (toll fraud), and each
//! makes somebody's telephone ring.
//!
//! An attacker who floods a number must not prevent its owner from getting their code. So the messages to a number are counted for all
//! requesters together, and requesters who were sent nothing there for a day (newcomers) have a share of their own, per tenant. To delay
//! the owner by five minutes, an attacker needs another account in the owner's own tenant every five minutes.
//!
//! All messages of an installation are sent by one process at a time (sagas have one active coordinator), so counting in memory is enough.
//! After a restart the counts start again; the limit of what one user may request is counted in the log, and is not lost.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use kernel::TenantId;
use quick_cache::sync::Cache;
use uuid::Uuid;

use crate::{Text, TextError, TextMessages};

/// The limit of a number, for all requesters in all tenants together.
const OF_A_NUMBER: Rate = Rate { burst: 5, every: Duration::from_hours(1) };

/// The additional limit of a number for newcomers of one tenant: requesters who were sent nothing there for a [`DAY`].
const OF_NEWCOMERS: Rate = Rate { burst: 1, every: Duration::from_mins(5) };

/// The additional limit of a number for newcomers of all tenants together, because the telephone rings.
const OF_ALL_NEWCOMERS: Rate = Rate { burst: 12, every: Duration::from_mins(5) };

/// How long a requester to whom a message was sent is not a newcomer.
const DAY: Duration = Duration::from_hours(24);

/// The number of message ids that are remembered, to recognize repetitions.
const KNOWN: usize = 10_000;

/// The number of telephone numbers whose counts are remembered. Beyond that, those are forgotten to which nothing was sent for longest. To
/// have a number forgotten, an attacker would have to text as many others, which the limits of their tenants prevent.
const NUMBERS: usize = 10_000;

/// How many numbers are forgotten at once, so that not every message has to search for one.
const FORGOTTEN: usize = NUMBERS / 10;

/// With more tenants than this, those that have their full quota are forgotten.
const TENANTS: usize = 1_000;

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// A token bucket: `burst` messages at once, then one more after each `every`.
#[derive(Clone, Copy)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// The state of a token bucket: the time at which it is full again, as the duration since the start.
#[derive(Clone, Copy, Default)]
struct Left(Duration);

impl Left {
    /// The time until the bucket has a token; zero if it has one.
    fn wait(self, rate: Rate, now: Duration) -> Duration {
        let taken_up = rate.every.saturating_mul(rate.burst.saturating_sub(1));
        self.0.saturating_sub(now).saturating_sub(taken_up)
    }

    fn take(&mut self, rate: Rate, now: Duration) {
        self.0 = self.0.max(now) + rate.every;
    }

    fn is_whole(self, now: Duration) -> bool {
        self.0 <= now
    }
}

/// The counts of one telephone number.
#[derive(Default)]
struct Number {
    left: Left,
    of_newcomers: Left,
    by_tenant: HashMap<TenantId, Left>,
    /// The requesters to whom a message was sent, and when last.
    served: HashMap<(TenantId, Uuid), Duration>,
    /// When a message was last sent to the number.
    sent: Duration,
}

/// The bucket from which a message is taken.
#[derive(Clone, Copy)]
enum Share {
    General,
    Newcomers,
}

impl Number {
    /// The bucket that has a token for this message; otherwise the time until one has.
    fn share(&self, text: &Text, now: Duration) -> Result<Share, Duration> {
        let wait = self.left.wait(OF_A_NUMBER, now);
        if wait.is_zero() {
            return Ok(Share::General);
        }
        if self.served.get(&(text.tenant, text.asker)).is_some_and(|at| now.saturating_sub(*at) < DAY) {
            return Err(wait);
        }
        let of_tenant = self.by_tenant.get(&text.tenant).copied().unwrap_or_default().wait(OF_NEWCOMERS, now);
        let besides = of_tenant.max(self.of_newcomers.wait(OF_ALL_NEWCOMERS, now));
        if besides.is_zero() { Ok(Share::Newcomers) } else { Err(wait.min(besides)) }
    }

    fn take(&mut self, share: Share, text: &Text, now: Duration) {
        match share {
            Share::General => self.left.take(OF_A_NUMBER, now),
            Share::Newcomers => {
                self.of_newcomers.take(OF_ALL_NEWCOMERS, now);
                self.by_tenant.retain(|_, left| !left.is_whole(now));
                self.by_tenant.entry(text.tenant).or_default().take(OF_NEWCOMERS, now);
            }
        }
        self.served.retain(|_, at| now.saturating_sub(*at) < DAY);
        self.served.insert((text.tenant, text.asker), now);
        self.sent = now;
    }
}

/// The counts of the telephone numbers to which messages were sent lately.
#[derive(Default)]
struct Numbers(HashMap<String, Number>);

impl Numbers {
    /// As [`Number::share`]. An unknown number has full buckets.
    fn share(&self, text: &Text, now: Duration) -> Result<Share, Duration> {
        self.0.get(text.to.reveal()).map_or(Ok(Share::General), |number| number.share(text, now))
    }

    fn note(&mut self, share: Share, text: &Text, now: Duration) {
        if self.0.len() >= NUMBERS && !self.0.contains_key(text.to.reveal()) {
            self.forget();
        }
        self.0.entry(text.to.reveal().clone()).or_default().take(share, text, now);
    }

    fn forget(&mut self) {
        let mut sent: Vec<_> = self.0.values().map(|number| number.sent).collect();
        let (_, &mut longest_ago, _) = sent.select_nth_unstable(FORGOTTEN - 1);
        self.0.retain(|_, number| number.sent > longest_ago);
    }
}

/// Sends messages within the limits. `C` is another clock, in tests.
pub struct Limited<T, C: Clock = DefaultClock> {
    inner: T,
    clock: C,
    began: C::Instant,
    numbers: Mutex<Numbers>,
    tenants: Limiter<TenantId, C>,
    /// The ids of messages that were counted: a repetition is not counted again.
    counted: Cache<String, ()>,
}

impl<T> Limited<T> {
    /// Limits what `inner` sends: per number, and to this many messages an hour per tenant.
    pub fn new(inner: T, tenant_per_hour: NonZeroU32) -> Self {
        Self::at(inner, tenant_per_hour, DefaultClock::default())
    }
}

impl<T, C: Clock + Clone> Limited<T, C> {
    fn at(inner: T, tenant_per_hour: NonZeroU32, clock: C) -> Self {
        Self {
            inner,
            began: clock.now(),
            numbers: Mutex::default(),
            tenants: RateLimiter::new(Quota::per_hour(tenant_per_hour), DashMapStateStore::default(), clock.clone()),
            counted: Cache::new(KNOWN),
            clock,
        }
    }

    fn count(&self, text: &Text) -> Result<(), TextError> {
        if self.counted.get(&text.id).is_some() {
            return Ok(());
        }
        let instant = self.clock.now();
        let now = Duration::from(instant.duration_since(self.began));
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tenants.len() > TENANTS {
            self.tenants.retain_recent();
        }
        // The number is checked before the tenant, so that flooding one number does not use up the tenant's quota.
        let share = numbers.share(text, now).map_err(|wait| {
            tracing::warn!(tenant = %text.tenant.uuid(), "a number gets no more text messages for now");
            TextError::TooMany(wait)
        })?;
        self.tenants.check_key(&text.tenant).map_err(|until| {
            tracing::warn!(tenant = %text.tenant.uuid(), "no more text messages go out for a tenant for now");
            TextError::TooMany(until.wait_time_from(instant))
        })?;
        numbers.note(share, text, now);
        self.counted.insert(text.id.clone(), ());
        Ok(())
    }
}

impl<T: TextMessages, C: Clock + Clone + Send + Sync + 'static> TextMessages for Limited<T, C>
where
    C::Instant: Send + Sync,
{
    fn send<'a>(&'a self, text: &'a Text) -> BoxFuture<'a, Result<(), TextError>> {
        match self.count(text) {
            Ok(()) => self.inner.send(text),
            Err(error) => Box::pin(async move { Err(error) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::Caught;

    const HOUR: Duration = Duration::from_hours(1);
    const MINUTE: Duration = Duration::from_mins(1);
    const NUMBER: &str = "+4930123456";

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn tenant(number: u128) -> TenantId {
        TenantId::vouched(Uuid::from_u128(number))
    }

    /// A message that somebody asked for, each time somebody else.
    fn text(id: usize, tenant: TenantId, to: &str) -> Text {
        asked_by(id as u128, id, tenant, to)
    }

    fn asked_by(asker: u128, id: usize, tenant: TenantId, to: &str) -> Text {
        let (text, asker) = ("123456".to_owned().into(), Uuid::from_u128(asker));
        Text { id: id.to_string(), tenant, asker, to: to.to_owned().into(), text, good_for: HOUR }
    }

    fn limited(tenant_per_hour: u32) -> (Limited<Caught, FakeRelativeClock>, Caught, FakeRelativeClock) {
        let (caught, clock) = (Caught::default(), FakeRelativeClock::default());
        (Limited::at(caught.clone(), NonZeroU32::new(tenant_per_hour).unwrap(), clock.clone()), caught, clock)
    }

    #[tokio::test]
    async fn a_number_gets_a_few_messages_and_then_one_an_hour_however_often_somebody_asks() {
        let (limited, caught, clock) = limited(1_000);
        let send = async |id: usize| limited.send(&asked_by(1, id, tenant(1), NUMBER)).await;
        for id in 0..50 {
            let sent = send(id).await;
            let expected = if id < OF_A_NUMBER.burst as usize { Ok(()) } else { Err(TextError::TooMany(HOUR)) };
            assert_eq!(sent, expected, "{id}");
        }
        assert_eq!(limited.send(&asked_by(1, 50, tenant(1), "+4930123457")).await, Ok(()), "another number");
        clock.advance(HOUR);
        assert_eq!(send(51).await, Ok(()));
        assert_eq!(send(52).await, Err(TextError::TooMany(HOUR)));
        assert_eq!(caught.all().len(), OF_A_NUMBER.burst as usize + 2);
    }

    #[tokio::test]
    async fn attack_118_who_floods_a_number_keeps_its_owner_from_no_code() {
        let (limited, _, clock) = limited(1_000);
        let mut id = 0;
        let mut send = async |asker: u128, tenant: TenantId| {
            id += 1;
            limited.send(&asked_by(asker, id, tenant, NUMBER)).await
        };
        // Twenty accounts in the owner's tenant ask without end.
        for asker in 1..=20 {
            _ = send(asker, tenant(1)).await;
        }
        let (owner, elsewhere) = (100, 200);
        assert_eq!(send(elsewhere, tenant(2)).await, Ok(()), "another tenant's users are in nobody's way here");
        let Err(TextError::TooMany(wait)) = send(owner, tenant(1)).await else {
            panic!("one of the twenty was served just now")
        };
        assert!(wait <= OF_NEWCOMERS.every, "the owner waits for {wait:?}");
        // All of those who were sent something ask again, and again; the owner, for whom the saga waits, has theirs.
        clock.advance(wait);
        for asker in 1..=6 {
            assert!(send(asker, tenant(1)).await.is_err(), "{asker} was sent something today");
        }
        assert_eq!(send(owner, tenant(1)).await, Ok(()));
        // Once in a day: then the owner is one of all.
        clock.advance(OF_NEWCOMERS.every);
        assert!(send(owner, tenant(1)).await.is_err());
    }

    #[tokio::test]
    async fn attack_118_as_many_accounts_as_one_likes_in_as_many_tenants_ring_a_number_so_often() {
        let (limited, caught, clock) = limited(1_000);
        for minute in 0..60 {
            for nth in 0..20 {
                let id = minute * 20 + nth;
                _ = limited.send(&text(id, tenant(id as u128 % 7), NUMBER)).await;
            }
            clock.advance(MINUTE);
        }
        let most = OF_A_NUMBER.burst + 1 + OF_ALL_NEWCOMERS.burst + 12;
        assert!(caught.all().len() <= most as usize, "{} messages in an hour", caught.all().len());
    }

    #[tokio::test]
    async fn who_floods_a_number_does_not_use_up_what_the_tenant_has_for_others() {
        let (limited, _, _) = limited(20);
        for id in 0..100 {
            _ = limited.send(&asked_by(1, id, tenant(1), NUMBER)).await;
        }
        for id in 100..115 {
            assert_eq!(limited.send(&text(id, tenant(1), &format!("+493012{id:04}"))).await, Ok(()), "{id}");
        }
    }

    #[tokio::test]
    async fn a_tenant_sends_so_many_an_hour_and_others_are_not_held_up() {
        let (limited, caught, clock) = limited(20);
        let number = |id: usize| format!("+493012{id:04}");
        for id in 0..100 {
            assert_eq!(limited.send(&text(id, tenant(1), &number(id))).await.is_ok(), id < 20, "{id}");
        }
        assert_eq!(limited.send(&text(100, tenant(2), &number(100))).await, Ok(()));
        clock.advance(HOUR);
        assert_eq!(limited.send(&text(101, tenant(1), &number(101))).await, Ok(()));
        assert_eq!(caught.all().len(), 22);
    }

    #[tokio::test]
    async fn so_many_numbers_are_counted_and_the_one_that_was_texted_longest_ago_is_forgotten_first() {
        let (limited, _, clock) = limited(1_000_000);
        let (early, late) = ("+4930999998", "+4930999999");
        let mut id = 0;
        let mut send = async |to: String| {
            id += 1;
            limited.send(&asked_by(1, id, tenant(1), &to)).await
        };
        for _ in 0..OF_A_NUMBER.burst {
            assert_eq!(send(early.to_owned()).await, Ok(()));
        }
        assert!(send(early.to_owned()).await.is_err());
        for nth in 0..NUMBERS {
            clock.advance(Duration::from_millis(1));
            assert_eq!(send(format!("+493012{nth:05}")).await, Ok(()), "{nth}");
            if nth == NUMBERS / 2 {
                for _ in 0..OF_A_NUMBER.burst {
                    assert_eq!(send(late.to_owned()).await, Ok(()));
                }
            }
            let counted = limited.numbers.lock().unwrap().0.len();
            assert!(counted <= NUMBERS, "{counted} at the number {nth}");
        }
        assert_eq!(send(early.to_owned()).await, Ok(()), "nothing is known of what was sent there");
        assert!(send(late.to_owned()).await.is_err(), "that one was forgotten, too");
    }

    #[tokio::test]
    async fn a_message_that_is_sent_again_is_counted_once() {
        let (limited, _, _) = limited(1_000);
        for _ in 0..50 {
            assert_eq!(limited.send(&text(1, tenant(1), "+4930123456")).await, Ok(()));
        }
    }
}

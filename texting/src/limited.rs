//! How many messages go out: each costs money, some to numbers that pay whoever owns them (toll fraud), and each rings somewhere.
//!
//! One process at a time sends the messages of an installation (its sagas have one active coordinator), so what is counted in this
//! process's memory is what is sent. A restart begins anew; what one user may ask for is counted in the log and does not.

use std::num::NonZeroU32;

use futures::future::BoxFuture;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use kernel::TenantId;
use quick_cache::sync::Cache;

use crate::{Text, TextError, TextMessages};

/// How many messages a number gets at once, whoever asks for them in whatever tenant; then one more each hour.
const OF_A_NUMBER: u32 = 5;

/// How many messages are known again that are sent again.
const KNOWN: usize = 10_000;

/// After how many messages those are forgotten who waited long enough.
const TIDY: usize = 1_000;

type Limiter<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Sends what is not too much. `C`: another clock, in tests.
pub struct Limited<T, C: Clock = DefaultClock> {
    inner: T,
    numbers: Limiter<String, C>,
    tenants: Limiter<TenantId, C>,
    /// Messages that were counted, by their ids: one that is sent again is the same one.
    counted: Cache<String, ()>,
}

impl<T> Limited<T> {
    /// What `inner` sends, at most so many an hour for each tenant.
    pub fn new(inner: T, tenant_per_hour: NonZeroU32) -> Self {
        Self::at(inner, tenant_per_hour, DefaultClock::default())
    }
}

impl<T, C: Clock + Clone> Limited<T, C> {
    fn at(inner: T, tenant_per_hour: NonZeroU32, clock: C) -> Self {
        let burst = NonZeroU32::new(OF_A_NUMBER).unwrap_or(NonZeroU32::MIN);
        let of_a_number = Quota::per_hour(NonZeroU32::MIN).allow_burst(burst);
        Self {
            inner,
            numbers: RateLimiter::new(of_a_number, DashMapStateStore::default(), clock.clone()),
            tenants: RateLimiter::new(Quota::per_hour(tenant_per_hour), DashMapStateStore::default(), clock),
            counted: Cache::new(KNOWN),
        }
    }

    fn count(&self, text: &Text) -> Result<(), TextError> {
        if self.counted.get(&text.id).is_some() {
            return Ok(());
        }
        if self.numbers.len() > TIDY {
            self.numbers.retain_recent();
            self.tenants.retain_recent();
        }
        // The number first: whoever floods one number does not use up what the tenant has for others.
        if self.numbers.check_key(text.to.reveal()).is_err() {
            tracing::warn!(tenant = %text.tenant.uuid(), "a number gets no more text messages for now");
            return Err(TextError::TooMany);
        }
        if self.tenants.check_key(&text.tenant).is_err() {
            tracing::warn!(tenant = %text.tenant.uuid(), "no more text messages go out for a tenant for now");
            return Err(TextError::TooMany);
        }
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use uuid::Uuid;

    use super::*;
    use crate::Caught;

    const HOUR: Duration = Duration::from_hours(1);

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn tenant(number: u128) -> TenantId {
        TenantId::vouched(Uuid::from_u128(number))
    }

    fn text(id: usize, tenant: TenantId, to: &str) -> Text {
        let text = "123456".to_owned().into();
        Text { id: id.to_string(), tenant, to: to.to_owned().into(), text, good_for: HOUR }
    }

    fn limited(tenant_per_hour: u32) -> (Limited<Caught, FakeRelativeClock>, Caught, FakeRelativeClock) {
        let (caught, clock) = (Caught::default(), FakeRelativeClock::default());
        (Limited::at(caught.clone(), NonZeroU32::new(tenant_per_hour).unwrap(), clock.clone()), caught, clock)
    }

    #[tokio::test]
    async fn a_number_gets_a_few_messages_and_then_one_an_hour_whoever_asks_for_them() {
        let (limited, caught, clock) = limited(1_000);
        for id in 0..50 {
            let sent = limited.send(&text(id, tenant(id as u128), "+4930123456")).await;
            assert_eq!(sent.is_ok(), id < OF_A_NUMBER as usize, "{id}");
        }
        assert_eq!(limited.send(&text(50, tenant(1), "+4930123457")).await, Ok(()), "another number");
        clock.advance(HOUR);
        let more = [51, 52].map(|id| text(id, tenant(1), "+4930123456"));
        assert_eq!(limited.send(&more[0]).await, Ok(()));
        assert_eq!(limited.send(&more[1]).await, Err(TextError::TooMany));
        assert_eq!(caught.all().len(), OF_A_NUMBER as usize + 2);
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
    async fn a_message_that_is_sent_again_is_counted_once() {
        let (limited, _, _) = limited(1_000);
        for _ in 0..50 {
            assert_eq!(limited.send(&text(1, tenant(1), "+4930123456")).await, Ok(()));
        }
    }
}

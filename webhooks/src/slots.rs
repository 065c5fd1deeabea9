//! Limits concurrent requests, in total and per tenant: a tenant with slow receivers delays only its own messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kernel::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The slots of a process for concurrent requests.
pub(crate) struct SendSlots {
    all: Semaphore,
    /// The limit per tenant.
    share: usize,
    /// The semaphore of each tenant that has sent something. There are at most as many as tenants with webhooks.
    of_tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// A slot, occupied until this is dropped.
pub(crate) struct Slot<'a> {
    _share: OwnedSemaphorePermit,
    _slot: SemaphorePermit<'a>,
}

impl SendSlots {
    /// Creates `all` slots, of which one tenant can occupy at most `share`.
    pub(crate) fn new(all: usize, share: usize) -> Self {
        Self { all: Semaphore::new(all), share, of_tenants: Mutex::default() }
    }

    /// Waits for a slot. It waits for the tenant's own limit first, so that those who wait there do not occupy a slot.
    pub(crate) async fn take(&self, tenant: TenantId) -> Option<Slot<'_>> {
        let share = self.of_tenant(tenant).acquire_owned().await.ok()?;
        let slot = self.all.acquire().await.ok()?;
        Some(Slot { _share: share, _slot: slot })
    }

    fn of_tenant(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut of_tenants = self.of_tenants.lock().unwrap_or_else(PoisonError::into_inner);
        of_tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(self.share))).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_tenant_that_waits_for_its_own_leaves_the_other_places_to_others() {
        let slots = SendSlots::new(3, 2);
        let (busy, other) = (testbed::tenant(), testbed::tenant());
        let first = slots.take(busy).await.unwrap();
        let _second = slots.take(busy).await.unwrap();
        let mut third = std::pin::pin!(slots.take(busy));
        assert!(third.as_mut().now_or_never().is_none(), "it has its share");
        let theirs = slots.take(other).now_or_never().flatten();
        assert!(theirs.is_some(), "the third slot is free for others");
        assert!(slots.take(other).now_or_never().is_none(), "all are taken");
        drop(first);
        assert!(third.as_mut().now_or_never().flatten().is_some(), "whoever waited has the slot that was given back");
    }
}

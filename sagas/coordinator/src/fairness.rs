//! Fairness between tenants: a tenant with a large backlog does not delay the others.

use std::collections::HashMap;
use std::time::Duration;

use kernel::{RecordedEvent, TenantId};
use tokio::time::Instant;

use crate::rows::Due;

/// At most one part in so many of the driver's time is spent on queries for other tenants' due instances.
const SCAN_COST: u32 = 10;

/// Groups events by aggregate, keeping their order within each. The first aggregate of every tenant comes before the second of any.
pub(crate) fn by_aggregate<'a>(events: impl Iterator<Item = &'a RecordedEvent>) -> Vec<Vec<&'a RecordedEvent>> {
    let mut runs: Vec<(usize, Vec<&RecordedEvent>)> = Vec::new();
    let mut indexes = HashMap::new();
    let mut of_tenants: HashMap<TenantId, usize> = HashMap::new();
    for event in events {
        let key = (event.tenant, event.aggregate_type.as_str(), event.aggregate_id.as_str());
        let index = *indexes.entry(key).or_insert_with(|| {
            let nth = of_tenants.entry(event.tenant).or_default();
            *nth += 1;
            runs.push((*nth, Vec::new()));
            runs.len() - 1
        });
        runs[index].1.push(event);
    }
    // The sort is stable, so aggregates with equal rank keep their order.
    runs.sort_by_key(|(nth, _)| *nth);
    runs.into_iter().map(|(_, run)| run).collect()
}

/// The driver's slots for concurrent execution, and the number that each tenant occupies.
pub(crate) struct Slots {
    together: usize,
    taken: usize,
    of_tenants: HashMap<TenantId, usize>,
}

impl Slots {
    /// Creates `together` slots; each element of `busy` occupies one for its tenant.
    pub(crate) fn new(together: usize, busy: impl Iterator<Item = TenantId>) -> Self {
        let mut slots = Self { together, taken: 0, of_tenants: HashMap::new() };
        for tenant in busy {
            slots.take(tenant);
        }
        slots
    }

    /// The number of free slots.
    pub(crate) fn free(&self) -> usize {
        self.together.saturating_sub(self.taken)
    }

    /// The number of slots that a tenant may have while others wait.
    pub(crate) fn share(&self) -> usize {
        (self.together / 4).max(1)
    }

    /// The number of slots that a tenant may have while no other waits. It leaves some free, so that a newcomer need not wait for the end
    /// of slow steps.
    fn share_alone(&self) -> usize {
        self.together - self.together / 8
    }

    /// The tenants that may reach their share, counting their occupied slots and these due instances.
    pub(crate) fn with_backlog(&self, due: &Due) -> Vec<TenantId> {
        let mut counts = self.of_tenants.clone();
        for (key, _) in due {
            *counts.entry(key.tenant).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count >= self.share()).map(|(tenant, _)| tenant).collect()
    }

    /// Moves the instances that run next out of `due`, and occupies slots for them. The first is one whose tenant has the fewest slots;
    /// among equals, the one that is overdue longest.
    pub(crate) fn fill(&mut self, due: &mut Due, others_may_wait: bool) -> Due {
        let limit = if others_may_wait { self.share() } else { self.share_alone() };
        let mut chosen = Vec::new();
        while self.free() > 0 {
            let may = due.iter().enumerate().filter(|(_, (key, _))| self.of(key.tenant) < limit);
            let next = may.min_by_key(|(_, (key, at))| (self.of(key.tenant), *at)).map(|(nth, _)| nth);
            let Some(nth) = next else { break };
            let one = due.remove(nth);
            self.take(one.0.tenant);
            chosen.push(one);
        }
        chosen
    }

    fn of(&self, tenant: TenantId) -> usize {
        self.of_tenants.get(&tenant).copied().unwrap_or(0)
    }

    fn take(&mut self, tenant: TenantId) {
        self.taken += 1;
        *self.of_tenants.entry(tenant).or_default() += 1;
    }
}

/// The last query for due instances of other tenants than those with a large backlog: when it may be repeated, and its result.
#[derive(Default)]
pub(crate) struct BacklogScan {
    wait_until: Option<Instant>,
    nobody_else: bool,
}

impl BacklogScan {
    /// How long to wait before the query may be repeated; `None` if it may be now.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.wait_until.filter(|until| *until > now).map(|until| until - now)
    }

    /// Whether the last query found that no other tenant waits.
    pub(crate) fn nobody_else(&self) -> bool {
        self.nobody_else
    }

    /// Records a query's duration and its result.
    pub(crate) fn record(&mut self, began: Instant, now: Instant, nobody_else: bool) {
        (self.wait_until, self.nobody_else) = (Some(now + (now - began) * (SCAN_COST - 1)), nobody_else);
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::rows::InstanceKey;

    #[expect(clippy::disallowed_methods, reason = "a test's tenant")]
    fn tenant(number: u128) -> TenantId {
        TenantId::vouched(Uuid::from_u128(number))
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    /// A tenant's due instances: `count` of them, one per second from this one on.
    fn due(of: u128, count: u128, from: i64) -> Due {
        let one = |nth: u128| {
            let key = InstanceKey { tenant: tenant(of), id: Uuid::from_u128(of * 1_000 + nth) };
            (key, at(from + i64::try_from(nth).unwrap()))
        };
        (0..count).map(one).collect()
    }

    fn counts(chosen: &Due, tenants: &[u128]) -> Vec<usize> {
        tenants.iter().map(|of| chosen.iter().filter(|(key, _)| key.tenant == tenant(*of)).count()).collect()
    }

    #[test]
    fn while_others_may_wait_a_tenant_has_a_quarter_of_the_places() {
        let mut waiting = due(1, 100, 0);
        waiting.extend(due(2, 1, 500));
        let mut slots = Slots::new(16, std::iter::empty());
        let chosen = slots.fill(&mut waiting, true);
        assert_eq!(counts(&chosen, &[1, 2]), [4, 1]);
        assert_eq!((slots.free(), waiting.len()), (11, 96));
        // The slots that it occupies already count.
        let mut slots = Slots::new(16, [tenant(1); 4].into_iter());
        assert!(slots.fill(&mut waiting, true).is_empty());
    }

    #[test]
    fn alone_it_has_nearly_all_and_leaves_two_for_whoever_comes() {
        let mut waiting = due(1, 100, 0);
        let mut slots = Slots::new(16, std::iter::empty());
        let chosen = slots.fill(&mut waiting, false);
        assert_eq!(chosen.len(), 14);
        assert!(chosen.is_sorted_by_key(|(_, at)| *at), "the longest overdue come first");
        waiting.extend(due(2, 3, 500));
        assert_eq!(counts(&slots.fill(&mut waiting, true), &[1, 2]), [0, 2]);
        assert_eq!(slots.free(), 0);
    }

    #[test]
    fn who_has_the_fewest_places_is_next_though_others_are_longer_overdue() {
        let mut waiting: Due = (1..=4).flat_map(|of| due(of, 10, 0)).collect();
        waiting.extend(due(5, 1, 900));
        let busy = [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4].map(tenant);
        let chosen = Slots::new(16, busy.into_iter()).fill(&mut waiting, true);
        assert_eq!(counts(&chosen, &[1, 2, 3, 4, 5]), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn who_has_places_and_more_that_is_due_is_known_to_have_much() {
        let slots = Slots::new(16, [1, 1, 1, 2].map(tenant).into_iter());
        let mut waiting = due(1, 1, 0);
        waiting.extend(due(2, 2, 0));
        waiting.extend(due(3, 4, 0));
        let mut with_backlog = slots.with_backlog(&waiting);
        with_backlog.sort();
        assert_eq!(with_backlog, [tenant(1), tenant(3)]);
    }

    #[test]
    fn of_few_places_everybody_may_have_one() {
        let mut slots = Slots::new(1, std::iter::empty());
        assert_eq!(slots.fill(&mut due(1, 3, 0), true).len(), 1);
        assert_eq!(Slots::new(2, std::iter::empty()).fill(&mut due(1, 3, 0), false).len(), 2);
    }

    #[tokio::test]
    async fn asking_again_waits_nine_times_as_long_as_it_took() {
        let began = Instant::now();
        let answered = began + Duration::from_millis(20);
        let mut scan = BacklogScan::default();
        assert_eq!((scan.wait(began), scan.nobody_else()), (None, false));
        scan.record(began, answered, true);
        assert_eq!((scan.wait(answered), scan.nobody_else()), (Some(Duration::from_millis(180)), true));
        assert_eq!(scan.wait(answered + Duration::from_millis(180)), None);
    }
}

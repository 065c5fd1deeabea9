//! Which events of the feed's batches come directly after a position, and which tenant has the majority of them.

use kernel::{Position, RecordedEvent, TenantId};

use crate::feed::Batch;

/// The events that come directly after a position, up to the first gap, without those at or before it. The second value is false when
/// there is a gap.
pub(crate) fn contiguous_after(position: Position, batches: &[Batch]) -> (Vec<&RecordedEvent>, bool) {
    let mut events = Vec::with_capacity(batches.iter().map(|batch| batch.len()).sum());
    let mut next = position.next();
    for event in batches.iter().flat_map(|batch| batch.iter()) {
        if event.position > next {
            return (events, false);
        }
        if event.position == next {
            next = next.next();
            events.push(event);
        }
    }
    (events, true)
}

/// The tenant that has more than half of the events, if one has.
pub(crate) fn majority_tenant(events: &[&RecordedEvent]) -> Option<TenantId> {
    // Boyer-Moore majority vote: the only candidate is the tenant that is left when events of different tenants cancel each other.
    let mut left = (None, 0_usize);
    for event in events {
        left = match left {
            (Some(tenant), ahead) if tenant == event.tenant => (Some(tenant), ahead + 1),
            (_, 0) => (Some(event.tenant), 1),
            (tenant, ahead) => (tenant, ahead - 1),
        };
    }
    let share = events.iter().filter(|event| Some(event.tenant) == left.0).count();
    left.0.filter(|_| share * 2 > events.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn batch(positions: std::ops::RangeInclusive<u64>) -> Batch {
        Arc::new(positions.map(testbed::event).collect())
    }

    fn after(position: u64, batches: &[Batch]) -> (Vec<u64>, bool) {
        let (events, contiguous) = contiguous_after(Position(position), batches);
        (events.iter().map(|event| event.position.0).collect(), contiguous)
    }

    #[test]
    fn what_was_applied_is_passed_over_and_a_gap_is_seen() {
        assert_eq!(after(0, &[batch(1..=2), batch(3..=3)]), (vec![1, 2, 3], true));
        assert_eq!(after(2, &[batch(1..=4), batch(3..=5)]), (vec![3, 4, 5], true));
        assert_eq!(after(9, &[batch(1..=4)]), (vec![], true));
        assert_eq!(after(1, &[batch(3..=4)]), (vec![], false));
        assert_eq!(after(1, &[batch(2..=3), batch(5..=6)]), (vec![2, 3], false));
    }

    #[test]
    fn whoever_has_more_than_half_of_the_events_has_the_most() {
        let (ours, others) = (testbed::tenant(), testbed::tenant());
        let of = |tenants: &[TenantId]| {
            let events: Vec<_> =
                tenants.iter().map(|tenant| RecordedEvent { tenant: *tenant, ..batch(1..=1)[0].clone() }).collect();
            majority_tenant(&events.iter().collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[ours, others]), None);
        assert_eq!(of(&[ours, others, others]), Some(others));
        assert_eq!(of(&[others, ours, ours, others, ours]), Some(ours));
        // The candidate of the vote does not always have a majority.
        assert_eq!(of(&[ours, testbed::tenant(), others]), None);
    }
}

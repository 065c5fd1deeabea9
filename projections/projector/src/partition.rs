//! Partitions of the tenants of a projection, and the bookkeeping of positions when the number of partitions changes.

use std::fmt;

use kernel::{Position, RecordedEvent};
use uuid::Uuid;

use crate::checkpoint::Checkpoint;

/// The largest number of partitions of a projection.
pub const MAX_PARTITIONS: u32 = 64;

/// One of the partitions into which the tenants of a projection are divided. Each is applied independently, in the log's order.
///
/// Their number is a power of two, at most [`MAX_PARTITIONS`], so that a change of the number splits or joins whole partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    number: u32,
    of: u32,
}

impl Partition {
    /// The only partition, with all tenants.
    pub(crate) const WHOLE: Self = Self { number: 0, of: 1 };

    pub(crate) const fn new(number: u32, of: u32) -> Self {
        Self { number, of }
    }

    /// All partitions when there are `of`.
    pub(crate) fn all(of: u32) -> impl Iterator<Item = Self> {
        (0..of).map(move |number| Self { number, of })
    }

    /// The partition of a tenant when there are `of`: the last bits of its id. They are random, so they serve as a hash. Queries of
    /// `log.events` compute it in the same way (`EventStore::read_partition`).
    pub(crate) fn of_tenant(tenant: Uuid, of: u32) -> Self {
        Self { number: eventstore::partition_of(tenant, of), of }
    }

    /// Its number, from 0.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// The number of partitions.
    pub const fn of(self) -> u32 {
        self.of
    }

    pub(crate) const fn index(self) -> usize {
        self.number as usize
    }

    /// Whether a tenant belongs to this partition.
    pub(crate) fn holds(self, tenant: Uuid) -> bool {
        self.of == 1 || Self::of_tenant(tenant, self.of) == self
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.of)
    }
}

/// Whether a projection can have this number of partitions.
pub(crate) const fn is_possible(partitions: u32) -> bool {
    partitions.is_power_of_two() && partitions <= MAX_PARTITIONS
}

/// The position up to which each tenant's events are applied, by classes of tenants. There is one position for each class; the class of a
/// tenant is its partition if there were as many partitions as classes. Empty when the checkpoint's position holds for all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached(Vec<Position>);

impl Reached {
    /// Combines the checkpoints of a projection's partitions.
    pub(crate) fn of(checkpoints: &[Checkpoint]) -> Self {
        let classes = checkpoints.iter().map(|one| one.reached.0.len()).max().unwrap_or(0).max(checkpoints.len());
        // The numbers of classes and partitions are powers of two, so the partition of a class is the last bits of its number.
        let position = |class: usize| {
            let checkpoint = &checkpoints[class % checkpoints.len()];
            let further = checkpoint.reached.0.get(class % checkpoint.reached.0.len().max(1)).copied();
            checkpoint.position.max(further.unwrap_or(Position::START))
        };
        Self(if checkpoints.is_empty() { Vec::new() } else { (0..classes).map(position).collect() })
    }

    /// Whether an event is applied already, although it is after its partition's checkpoint.
    pub(crate) fn has(&self, event: &RecordedEvent) -> bool {
        !self.0.is_empty() && event.position <= self.at(event.tenant.uuid())
    }

    fn at(&self, tenant: Uuid) -> Position {
        self.0[eventstore::partition_of(tenant, self.0.len() as u32) as usize]
    }

    /// The position that all classes have reached.
    pub(crate) fn lowest(&self) -> Position {
        self.0.iter().copied().min().unwrap_or_default()
    }

    /// The highest position that a class has reached.
    pub(crate) fn highest(&self) -> Position {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// The checkpoint's position of a new partition, and the later events that it has to skip because they are applied already.
    ///
    /// The position is the lowest of its tenants. How far the others are beyond that is kept by class, so that each event is applied
    /// once.
    pub(crate) fn divided(&self, partition: Partition) -> (Position, Self) {
        let classes = self.0.len().max(partition.of as usize);
        let known: Vec<Position> = (0..classes).map(|class| self.0[class % self.0.len()]).collect();
        let own = || (partition.index()..classes).step_by(partition.of as usize).map(|class| known[class]);
        let begins = own().min().unwrap_or_default();
        if own().all(|position| position == begins) { (begins, Self::default()) } else { (begins, Self(known)) }
    }

    /// The value of the column `reached`; `None` when it is empty.
    pub(crate) fn stored(&self) -> Option<Vec<i64>> {
        (!self.0.is_empty()).then(|| self.0.iter().map(|position| position.as_i64()).collect())
    }

    pub(crate) fn read(stored: Option<Vec<i64>>) -> Self {
        Self(stored.unwrap_or_default().into_iter().map(Position::from_i64).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TENANTS: u64 = 16;
    const EVENTS: u64 = 400;

    #[expect(clippy::disallowed_methods, reason = "a test's tenants, one for each class of sixteen")]
    fn event(position: u64) -> RecordedEvent {
        let tenant = kernel::TenantId::vouched(Uuid::from_u128(u128::from(position * 7 % TENANTS)));
        RecordedEvent { tenant, ..testbed::event(position) }
    }

    /// What a database would have: checkpoints, and of each tenant the positions that were applied.
    struct Model {
        checkpoints: Vec<Checkpoint>,
        applied: BTreeMap<Uuid, Vec<u64>>,
    }

    impl Model {
        fn new() -> Self {
            let mut model = Self { checkpoints: Vec::new(), applied: BTreeMap::new() };
            model.divide(&Reached(vec![Position::START]), 1);
            model
        }

        fn divide(&mut self, reached: &Reached, into: u32) {
            let checkpoint = |partition| {
                let (position, reached) = reached.divided(partition);
                let (generation, tables, parked_events) = (0, Vec::new(), 0);
                Checkpoint { partition, version: 1, position, reached, generation, tables, parked_events }
            };
            self.checkpoints = Partition::all(into).map(checkpoint).collect();
        }

        /// Lets a partition apply what follows, as a worker does.
        fn advance(&mut self, partition: usize, by: u64) {
            let checkpoint = &mut self.checkpoints[partition];
            let to = (checkpoint.position.0 + by).min(EVENTS);
            for event in (checkpoint.position.0 + 1..=to).map(event).filter(|event| checkpoint.awaits(event)) {
                self.applied.entry(event.tenant.uuid()).or_default().push(event.position.0);
            }
            checkpoint.position = Position(to);
        }
    }

    #[test]
    fn whatever_is_divided_and_joined_each_tenants_events_are_applied_once_and_in_order() {
        let sizes = [1, 2, 4, 8];
        for history in 0..4_usize.pow(5) {
            let mut model = Model::new();
            for step in 0..5 {
                let into = sizes[history / 4_usize.pow(step) % 4];
                model.divide(&Reached::of(&model.checkpoints), into);
                for partition in 0..into as usize {
                    // Some do not move at all.
                    model.advance(partition, (partition as u64 * 5 + u64::from(step) * 3 + history as u64) % 4 * 9);
                }
            }
            for partition in 0..model.checkpoints.len() {
                model.advance(partition, EVENTS);
            }
            let mut expected: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
            for event in (1..=EVENTS).map(event) {
                expected.entry(event.tenant.uuid()).or_default().push(event.position.0);
            }
            assert_eq!(model.applied, expected, "history {history}");
        }
    }

    #[test]
    fn partitions_that_stand_at_one_position_need_nothing_remembered() {
        let mut model = Model::new();
        model.advance(0, 50);
        for into in [8, 2, 1, 64] {
            model.divide(&Reached::of(&model.checkpoints), into);
            assert!(model.checkpoints.iter().all(|one| one.position == Position(50) && one.reached.stored().is_none()));
        }
    }

    #[test]
    fn only_powers_of_two_up_to_the_most_are_possible() {
        let possible: Vec<u32> = (0..200).filter(|partitions| is_possible(*partitions)).collect();
        assert_eq!(possible, [1, 2, 4, 8, 16, 32, 64]);
    }
}

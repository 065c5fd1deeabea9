//! The jitter of the pauses between attempts to process a parked event.

/// A factor of 0.8 to 1.2 in SQL, by which a pause is multiplied when the next attempt is scheduled, so that events that failed together are
/// not all retried at the same time. It is computed in the database, because next attempts are scheduled by its clock.
pub(crate) const JITTER: &str = "(0.8 + 0.4 * random())";

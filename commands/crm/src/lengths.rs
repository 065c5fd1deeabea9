//! Limits on the lengths of CRM's texts (in characters) and lists (in entries), used by validation and by the API contract.

use std::ops::RangeInclusive;

/// Names of people, organizations, deals, stages.
pub const NAME: RangeInclusive<usize> = 1..=200;
/// The subject of a token, which identifies a user.
pub const SUBJECT: RangeInclusive<usize> = 1..=200;
/// A required reason.
pub const REASON: RangeInclusive<usize> = 1..=500;
/// A note.
pub const NOTE: RangeInclusive<usize> = 1..=2_000;
/// A web address.
pub const WEBSITE: usize = 2_000;
/// The line items of an opportunity.
pub const LINE_ITEMS: usize = 200;

//! How long CRM's texts may be, in characters, and its lists in entries: what is checked, and what the contract says.

use std::ops::RangeInclusive;

/// Names of people, organizations, deals, stages.
pub const NAME: RangeInclusive<usize> = 1..=200;
/// The subject of a token.
pub const SUBJECT: RangeInclusive<usize> = 1..=200;
/// A reason that has to be given.
pub const REASON: RangeInclusive<usize> = 1..=500;
/// A note.
pub const NOTE: RangeInclusive<usize> = 1..=2_000;
/// A web address.
pub const WEBSITE: usize = 2_000;
/// The line items of an opportunity.
pub const LINE_ITEMS: usize = 200;

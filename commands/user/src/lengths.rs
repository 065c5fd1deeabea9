//! How long texts may be, in characters, and lists in entries: what is checked, and what the contract says.

use std::ops::RangeInclusive;

/// Names of people, groups, organizations; titles.
pub const NAME: RangeInclusive<usize> = 1..=200;
/// The id by which an identity provider knows somebody, or a group.
pub const EXTERNAL_ID: RangeInclusive<usize> = 1..=200;
/// What an address or a number is for, as an identity provider calls it.
pub const LABEL: RangeInclusive<usize> = 1..=50;
/// A postal address as an identity provider writes it out, with its line breaks.
pub const FORMATTED_ADDRESS: RangeInclusive<usize> = 1..=1_000;
/// The name that a user signs in with.
pub const USER_NAME: RangeInclusive<usize> = 2..=64;
/// The name of a role.
pub const ROLE: RangeInclusive<usize> = kernel::Role::NAME_LENGTH;
/// The name of a domain: with `_inopsio.` before it the domain name system takes it.
pub const DOMAIN: RangeInclusive<usize> = 1..=240;
/// The domains whose addresses may register.
pub const DOMAINS: usize = 50;
/// A reason.
pub const REASON: RangeInclusive<usize> = 1..=500;
/// A web address.
pub const PICTURE: usize = 2_000;
/// The roles that somebody begins with, or that a role includes.
pub const ROLES: usize = 50;
/// The permissions of a role.
pub const PERMISSIONS: usize = 500;
/// The groups that somebody begins in.
pub const GROUPS: usize = 50;
/// Users who are changed at once.
pub const BATCH: usize = 200;
/// Users whom a provider takes into a group or out of it at once.
pub const KEPT_MEMBERS: usize = 1_000;

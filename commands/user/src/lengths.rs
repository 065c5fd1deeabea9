//! Limits on the lengths of texts (in characters) and lists (in entries), used by validation and by the API contract.

use std::ops::RangeInclusive;

/// Names of people, groups, organizations; titles.
pub const NAME: RangeInclusive<usize> = 1..=200;
/// The external id that an identity provider has for a user or group.
pub const EXTERNAL_ID: RangeInclusive<usize> = 1..=200;
/// The type of an address or number, as an identity provider sends it.
pub const LABEL: RangeInclusive<usize> = 1..=50;
/// A formatted postal address of an identity provider, with line breaks.
pub const FORMATTED_ADDRESS: RangeInclusive<usize> = 1..=1_000;
/// A user name for signing in.
pub const USER_NAME: RangeInclusive<usize> = 2..=64;
/// The name of a role.
pub const ROLE: RangeInclusive<usize> = kernel::Role::NAME_LENGTH;
/// A domain name: short enough that `_inopsio.` in front of it is still a valid DNS name.
pub const DOMAIN: RangeInclusive<usize> = 1..=240;
/// The domains whose e-mail addresses may register.
pub const DOMAINS: usize = 50;
/// A reason.
pub const REASON: RangeInclusive<usize> = 1..=500;
/// A web address.
pub const PICTURE: usize = 2_000;
/// The initial roles of a user, or the roles that a role includes.
pub const ROLES: usize = 50;
/// The permissions of a role.
pub const PERMISSIONS: usize = 500;
/// The initial groups of a user.
pub const GROUPS: usize = 50;
/// Users who are changed by one command.
pub const BATCH: usize = 200;
/// Users whom an identity provider adds to or removes from a group in one request.
pub const KEPT_MEMBERS: usize = 1_000;

//! Limits on the lengths of texts (in characters) and lists (in entries), used by validation and by the API contract.

use std::ops::RangeInclusive;

/// Names of clients, machines, API keys and SAML connections.
pub const NAME: RangeInclusive<usize> = 1..=200;
/// The name of a passkey.
pub const PASSKEY_NAME: RangeInclusive<usize> = 1..=100;
/// The roles of a machine.
pub const ROLES: usize = 50;
/// The scopes of an API key.
pub const SCOPES: usize = 50;
/// The public keys of a client or machine: two during a rotation, and some room.
pub const KEYS: usize = 8;
/// The redirect URIs of a client, for sign-in and for sign-out.
pub const REDIRECT_URIS: usize = 20;
/// A URI of a client.
pub const URI: usize = 500;
/// The domains of a SAML connection.
pub const DOMAINS: usize = 50;
/// The role mappings of a SAML connection.
pub const ROLE_MAPPINGS: usize = 100;
/// The name or value of an attribute in a SAML assertion.
pub const ATTRIBUTE: RangeInclusive<usize> = 1..=256;

//! The JSON Schemas of texts and numbers in request bodies. They state the limits that `crm_commands` checks.
//!
//! `#[schemars(with = "form::Name")]` on a field puts the schema into the contract. The value itself is validated with the
//! command, which reports all errors at once.

use crm_commands::lengths::{NAME, NOTE, REASON, SUBJECT, WEBSITE};
pub use face::form::{Country, Email, Phone};
use face::{Whole, forms};

/// A count of at least `MIN`, and at most the maximum of GraphQL's `Int`, as which it is read.
pub type Number<const MIN: i64> = Whole<u32, MIN, 2_147_483_647>;

forms! {
    /// Names of people, organizations, deals, stages.
    Name = { "type": "string", "minLength": NAME.start(), "maxLength": NAME.end() };
    /// The subject of a token.
    Subject = { "type": "string", "minLength": SUBJECT.start(), "maxLength": SUBJECT.end() };
    /// A reason that has to be given.
    Reason = { "type": "string", "minLength": REASON.start(), "maxLength": REASON.end() };
    /// A note.
    Note = { "type": "string", "minLength": NOTE.start(), "maxLength": NOTE.end() };
    /// ISO 4217.
    CurrencyCode = { "type": "string", "pattern": "^[A-Z]{3}$" };
    /// A web address.
    Website = { "type": "string", "pattern": "^https?://", "maxLength": WEBSITE };
    /// Minor units of a currency, at least 0.
    Minor = { "type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX };
    /// Billionths, at least 1.
    Nanos = { "type": "integer", "format": "int64", "minimum": 1, "maximum": i64::MAX };
}

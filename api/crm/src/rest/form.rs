//! What the contract says of texts: the forms that `crm_commands` checks, once for all bodies.
//!
//! `#[schemars(with = "form::Name")]` beside a field gives it this form in the contract; that it has it is checked with the
//! command, where all that is wrong is said at once.

use crm_commands::lengths::{NAME, NOTE, REASON, SUBJECT, WEBSITE};
pub use face::form::{Country, Email, Phone};
use face::{Whole, forms};

/// How many, at least `MIN`: no more than an `Int` of GraphQL holds, which shows it.
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

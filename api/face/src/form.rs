//! JSON Schemas of text formats. `#[schemars(with = "form::Email")]` on a field gives it this schema in the contract. It does not
//! validate: the command checks the value, and reports all errors at once.

use std::ops::RangeInclusive;

use kernel::{Picture, PostalAddress};

/// The length of the reason that an operator gives for a decision about a saga or a dead letter, in characters.
pub const REASON: RangeInclusive<usize> = 1..=500;

/// The characters that no text of people may have, as a class of a regular expression: control characters except those that are blank, and
/// characters that hide or reorder text ([`kernel::is_deceptive`]), as far as they have four digits.
macro_rules! hidden {
    () => {
        r"\u0000-\u0008\u000E-\u001F\u007F-\u0084\u0086-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180E\u200B\u200E\u200F\u202A-\u202E\u2060-\u206F\u3164\uFEFF\uFFA0\uFFF9-\uFFFB"
    };
}

/// The pattern of a text that is required: something in it is not blank, and nothing is hidden. It is written for ECMAScript, as JSON Schema
/// wants it, in a form that other regular expressions share. (What lines must not have besides, such as line breaks, is left to commands.)
/// The first part takes only blanks, so each text can be matched in one way at most: otherwise a validator that backtracks would take time
/// with the square of the length.
pub const TEXT: &str = concat!(r"^[^\S", hidden!(), r"]*[^\s", hidden!(), "][^", hidden!(), "]*$");

/// Declares types that stand for a JSON Schema, for use in `#[schemars(with = "…")]`.
#[macro_export]
macro_rules! forms {
    ($($(#[$meta:meta])* $name:ident = $schema:tt;)+) => {$(
        $(#[$meta])*
        pub enum $name {}

        impl ::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!($schema)
            }
        }
    )+};
}

forms! {
    /// An e-mail address.
    Email = { "type": "string", "format": "email", "maxLength": 254 };
    /// A telephone number in international form; spaces, hyphens, dots and brackets may stand in it.
    Phone = { "type": "string", "pattern": r"^[ .()-]*\+[ .()-]*[1-9]([ .()-]*[0-9]){6,14}[ .()-]*$" };
    /// A country: ISO 3166-1 alpha-2, in any case.
    Country = { "type": "string", "pattern": "^[A-Za-z]{2}$" };
    /// The street lines of an address.
    Street = { "type": "string", "minLength": PostalAddress::STREET.start(), "maxLength": PostalAddress::STREET.end() };
    /// The locality of an address.
    Locality = { "type": "string", "minLength": PostalAddress::LOCALITY.start(), "maxLength": PostalAddress::LOCALITY.end() };
    /// The region of an address.
    Region = { "type": "string", "minLength": PostalAddress::REGION.start(), "maxLength": PostalAddress::REGION.end() };
    /// The postal code of an address.
    PostalCode = { "type": "string", "minLength": PostalAddress::POSTAL_CODE.start(), "maxLength": PostalAddress::POSTAL_CODE.end() };
    /// A picture's file in base64.
    PictureFile = { "type": "string", "contentEncoding": "base64", "maxLength": Picture::MOST_CHARACTERS };
}

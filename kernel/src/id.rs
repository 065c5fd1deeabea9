//! Typed identifiers, such as a lead's id and a contact's id, which the compiler keeps apart. All are UUIDs in the same text form.

use serde::de::{Deserializer, Error, Visitor};
use uuid::Uuid;

/// The text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a UUID with hyphens and without braces or spaces, such as 0197a8a0-0000-7000-8000-000000000001")]
pub struct NotAnId;

/// Parses a UUID in the hyphenated form (RFC 9562; letters in any case). The other forms (without hyphens, in braces, as a URN) are
/// refused, so that an id has only one text form.
///
/// # Errors
/// [`NotAnId`], which says what is allowed.
pub fn read_uuid(text: &str) -> Result<Uuid, NotAnId> {
    // Of the forms that `try_parse` accepts, only the hyphenated one has 36 characters.
    if text.len() == 36 { Uuid::try_parse(text).map_err(|_| NotAnId) } else { Err(NotAnId) }
}

/// [`read_uuid`] for serde.
///
/// # Errors
/// Those of the format, and of [`read_uuid`].
pub fn deserialize_uuid<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = Uuid;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a UUID")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Uuid, E> {
            read_uuid(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_str(Text)
}

/// Declares identifier types: UUIDs (version 7 when we create them) that can't be mistaken for one another.
///
/// ```
/// kernel::ids! {
///     /// A lead.
///     LeadId
/// }
/// let id: LeadId = "0197a8a0-0000-7000-8000-000000000001".parse()?;
/// assert_eq!(id.to_string(), "0197a8a0-0000-7000-8000-000000000001");
/// assert!("0197a8a0000070008000000000000001".parse::<LeadId>().is_err());
/// # Ok::<(), kernel::NotAnId>(())
/// ```
#[macro_export]
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            $crate::reexport::Serialize, $crate::reexport::JsonSchema,
        )]
        #[serde(transparent, crate = "::kernel::reexport::serde")]
        #[schemars(crate = "::kernel::reexport::schemars")]
        pub struct $name($crate::reexport::Uuid);

        impl $name {
            /// The typed form of a UUID.
            pub const fn new(id: $crate::reexport::Uuid) -> Self {
                Self(id)
            }

            /// The bare UUID.
            pub const fn uuid(self) -> $crate::reexport::Uuid {
                self.0
            }
        }

        impl From<$crate::reexport::Uuid> for $name {
            fn from(id: $crate::reexport::Uuid) -> Self {
                Self(id)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::read_uuid(text).map(Self)
            }
        }

        impl<'de> $crate::reexport::Deserialize<'de> for $name {
            fn deserialize<D: $crate::reexport::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::deserialize_uuid(deserializer).map(Self)
            }
        }
    )+};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let id = "0197a8a0-0000-7000-8000-00000000abcd";
        assert_eq!(read_uuid(id).map(|id| id.to_string()).as_deref(), Ok(id));
        assert_eq!(read_uuid(&id.to_uppercase()).map(|id| id.to_string()).as_deref(), Ok(id));
        for other in [
            "",
            "7",
            "0197a8a000007000800000000000abcd",
            "{0197a8a0-0000-7000-8000-00000000abcd}",
            "urn:uuid:0197a8a0-0000-7000-8000-00000000abcd",
            " 0197a8a0-0000-7000-8000-00000000abc",
            "0197a8a0-0000-7000-8000-00000000abcg",
            "0197a8a00-000-7000-8000-00000000abcd",
        ] {
            assert_eq!(read_uuid(other), Err(NotAnId), "{other:?}");
        }
    }
}

//! Typed identifiers: a lead's id is not a contact's id.

/// Declares identifier types: UUIDs (version 7 when we make them) that do not mix.
///
/// ```
/// kernel::ids! {
///     /// A lead.
///     LeadId
/// }
/// let id: LeadId = "0197a8a0-0000-7000-8000-000000000001".parse()?;
/// assert_eq!(id.to_string(), "0197a8a0-0000-7000-8000-000000000001");
/// # Ok::<(), uuid::Error>(())
/// ```
#[macro_export]
macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
            $crate::reexport::Serialize, $crate::reexport::Deserialize, $crate::reexport::JsonSchema,
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
            type Err = $crate::reexport::UuidError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

//! Enums of the domain as GraphQL shows them.

/// Declares a GraphQL enum beside one of the domain, with conversions both ways. A variant that the domain gains is a
/// compile error here, so that it gets its place in the schema.
macro_rules! mirror {
    (
        $(#[$meta:meta])*
        pub enum $name:ident of $of:path {
            $($(#[$variant_meta:meta])* $variant:ident),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, juniper::GraphQLEnum)]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }

        impl From<$of> for $name {
            fn from(value: $of) -> Self {
                use $of as Of;
                match value { $(Of::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for $of {
            fn from(value: $name) -> Self {
                use $of as Of;
                match value { $($name::$variant => Of::$variant),+ }
            }
        }
    };
}
pub(crate) use mirror;

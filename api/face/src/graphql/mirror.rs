//! GraphQL enums that mirror enums of the domain.

/// Declares a GraphQL enum that mirrors an enum of the domain, with conversions both ways. A new variant in the domain is a
/// compile error here, so that it is added to the schema.
#[macro_export]
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

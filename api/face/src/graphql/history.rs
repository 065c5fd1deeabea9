//! Common parts of histories.

use chrono::{DateTime, Utc};
use juniper::{FieldResult, GraphQLObject};

use super::{bad_argument, page_size};

/// A period of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLObject)]
pub struct Period {
    /// The beginning of the period (inclusive).
    pub from: DateTime<Utc>,
    /// The end of the period (exclusive); `null` if it has not ended.
    pub to: Option<DateTime<Utc>>,
}

/// Declares the object that shows a version of something: its number, the kind of its change, the fields that are given here, and its period
/// on both time axes. Its row is that of a [`version_table!`](folding::version_table).
#[macro_export]
macro_rules! change_object {
    (
        $(#[$meta:meta])*
        pub struct $change:ident($row:ty) {
            $($field:tt)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $change($row);

        $(#[$meta])*
        #[juniper::graphql_object(context = $crate::graphql::Context)]
        impl $change {
            /// The version after the change.
            fn version(&self) -> i32 {
                $crate::graphql::int(self.0.version)
            }

            /// The kind of change: the last part of its event's type, such as `reassigned`.
            fn change(&self) -> &str {
                &self.0.change
            }

            $($field)*

            /// Valid time: the period in which this version was in effect.
            fn valid(&self) -> $crate::graphql::Period {
                $crate::graphql::Period { from: self.0.valid_from, to: self.0.valid_to.0 }
            }

            /// Transaction time: from when the event log recorded this version until it recorded a later one.
            fn known(&self) -> $crate::graphql::Period {
                $crate::graphql::Period { from: self.0.known_from, to: self.0.known_to.0 }
            }
        }
    };
}

/// Checks the arguments of a history. Returns the version after which it starts, and the number of changes (50 by default, at most 200).
pub fn window(first: Option<i32>, after_version: Option<i32>) -> FieldResult<(i64, i64)> {
    let after = after_version.unwrap_or(0);
    if after < 0 {
        return Err(bad_argument("afterVersion", &format!("{after} is not a version; allowed is 0, or a higher one")));
    }
    Ok((after.into(), page_size(first, 50, 200)?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_goes_on_after_a_version_that_there_can_be() {
        assert_eq!(window(None, None).unwrap(), (0, 50));
        assert_eq!(window(Some(2), Some(7)).unwrap(), (7, 2));
        assert!(window(None, Some(-1)).is_err() && window(Some(0), None).is_err());
    }
}

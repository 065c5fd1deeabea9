//! What histories have in common.

use chrono::{DateTime, Utc};
use face::graphql::refuse;
use juniper::{FieldResult, GraphQLObject};
use kernel::Refusal;

/// A stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLObject)]
pub struct Stretch {
    /// From this time on.
    pub from: DateTime<Utc>,
    /// Until before this time; `null`: still.
    pub to: Option<DateTime<Utc>>,
}

/// The arguments of a history: how many changes, after which version.
pub(crate) fn window(first: Option<i32>, after_version: Option<i32>) -> FieldResult<(i64, i64)> {
    let first = first.unwrap_or(50);
    if !(1..=200).contains(&first) {
        return Err(refuse(Refusal::invalid("page_size", format!("first: {first}; allowed are 1 to 200"))));
    }
    Ok((after_version.unwrap_or(0).into(), first.into()))
}

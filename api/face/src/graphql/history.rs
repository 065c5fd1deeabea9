//! Common parts of histories.

use chrono::{DateTime, Utc};
use juniper::{FieldResult, GraphQLObject};

use super::page_size;

/// A period of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, GraphQLObject)]
pub struct Period {
    /// The beginning of the period (inclusive).
    pub from: DateTime<Utc>,
    /// The end of the period (exclusive); `null` if it has not ended.
    pub to: Option<DateTime<Utc>>,
}

/// Checks the arguments of a history. Returns the version after which it starts, and the number of changes (50 by default, at most 200).
pub fn window(first: Option<i32>, after_version: Option<i32>) -> FieldResult<(i64, i64)> {
    Ok((after_version.unwrap_or(0).into(), page_size(first, 50, 200)?.into()))
}

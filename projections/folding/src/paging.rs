//! Keyset paging: the next page begins after the last row of this one, even if rows were added or removed meanwhile.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

/// A cursor, the end of a page: its last row's value of the ordering column, and the row's id, which breaks ties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seek {
    /// The ordering column's value.
    pub key: SeekKey,
    /// The row's id.
    pub id: Uuid,
}

/// A value of the ordering column. The serialized names are short because cursors are sent in URLs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeekKey {
    /// A moment.
    #[serde(rename = "t")]
    Time(DateTime<Utc>),
    /// A day.
    #[serde(rename = "d")]
    Day(NaiveDate),
    /// A number.
    #[serde(rename = "n")]
    Number(i64),
    /// A text.
    #[serde(rename = "s")]
    Text(String),
}

/// The reason why a list can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The cursor belongs to another order.
    #[error("this cursor belongs to a list in another order")]
    Cursor,
    /// An error of the database.
    #[error(transparent)]
    Storage(#[from] sqlx::Error),
}

/// The type of the ordering column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// A moment.
    Time,
    /// A day.
    Day,
    /// A number.
    Number,
    /// A text, in the byte order of `COLLATE "C"`.
    Text,
}

/// The order of a list: one column, then the id, both in one direction, so that one index serves it.
#[derive(Clone, Copy, Debug)]
pub struct Keyset {
    /// The column that orders the list. It must be `NOT NULL`: no row comes after a cursor by comparison with a column without a value.
    pub column: &'static str,
    /// Its type.
    pub ty: KeyType,
    /// The column with the row's id, which breaks ties.
    pub id: &'static str,
    /// Whether the order is descending.
    pub descending: bool,
}

impl Keyset {
    /// Adds the condition that a row comes after `seek`.
    pub fn after(self, query: &mut QueryBuilder<'_, Postgres>, seek: Option<Seek>) -> Result<(), ListError> {
        let Some(Seek { key, id }) = seek else { return Ok(()) };
        let than = if self.descending { "<" } else { ">" };
        query.push(format_args!(" AND (t.{}, t.{}) {than} (", self.column, self.id));
        match (key, self.ty) {
            (SeekKey::Time(time), KeyType::Time) => query.push_bind(time),
            (SeekKey::Day(day), KeyType::Day) => query.push_bind(day),
            (SeekKey::Number(number), KeyType::Number) => query.push_bind(number),
            (SeekKey::Text(text), KeyType::Text) => query.push_bind(text),
            _ => return Err(ListError::Cursor),
        };
        query.push(", ").push_bind(id).push(")");
        Ok(())
    }

    /// Adds the order and the limit.
    pub fn limit(self, query: &mut QueryBuilder<'_, Postgres>, limit: i64) {
        self.order(query);
        query.push(" LIMIT ").push_bind(limit);
    }

    /// Adds the order without a limit.
    pub fn order(self, query: &mut QueryBuilder<'_, Postgres>) {
        let way = if self.descending { "DESC" } else { "ASC" };
        query.push(format_args!(" ORDER BY t.{} {way}, t.{} {way}", self.column, self.id));
    }
}

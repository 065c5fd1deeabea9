//! From events to rows, and from rows to pages: what the read models of all domains have in common.
//!
//! The projector hands each projection ([`projection!`]) batches of events in log order, inside a transaction whose
//! `search_path` is the schema to write. A reducer decodes its events ([`change`]), loads the rows that they touch once, folds
//! in memory ([`fold`]) and writes whole tables' worth of rows in one statement each ([`table`]): no statement is sent per
//! event. What was is kept as versions ([`history`]) on two axes of time ([`as_of`]). An event that can't be applied is
//! answered as poison with its position; the projector parks that aggregate and goes on. Queries [`list`] rows page by page
//! ([`paging`]).
//!
//! Row level security lets Postgres use an index only for operators that are marked leakproof: comparisons are, `@@` and
//! `LIKE` are not, and a GIN index would be left unused. That is why the directories keep their words in a table of their
//! own ([`words`]), searched by range.
//!
//! To add a read model, nothing here changes: see the crates of the domains.

#![deny(missing_docs)]

pub mod as_of;
pub mod change;
pub mod fold;
pub mod history;
pub mod list;
pub mod named;
pub mod paging;
pub mod projection;
pub mod role_period;
pub mod table;
pub mod words;

pub use as_of::{AsOf, End};
pub use named::Named;
pub use paging::{ListError, Seek, SeekKey};
pub use role_period::RolePeriod;

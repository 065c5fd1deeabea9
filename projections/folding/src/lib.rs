//! The common part of all domains' read models: turns events into rows, and rows into pages.
//!
//! The projector gives each projection ([`projection!`]) batches of events in log order, inside a transaction whose
//! `search_path` is the schema to write. A reducer decodes its events ([`change`]), loads the affected rows once, applies the events
//! in memory ([`fold`]), and writes the rows of each table in one statement ([`table`]): there is no statement for each
//! event. Earlier states are kept as versions ([`history`]) on two time axes ([`as_of`]). An event that cannot be applied is
//! returned as poison, with its position; the projector parks its aggregate and continues. Queries [`list`] rows page by page
//! ([`paging`]).
//!
//! Row level security lets Postgres use an index only for operators that are marked leakproof: comparisons are, `@@` and
//! `LIKE` are not, and a GIN index would not be used. That is why lists that can be searched keep their words in a table of their
//! own ([`words`]), searched by range. Conditions on columns that such a range has read are allowed ([`marks`]).
//!
//! To add a read model, nothing here changes: see the crates of the domains, such as `projections/crm`.

#![deny(missing_docs)]

pub mod as_of;
pub mod change;
pub mod fold;
pub mod history;
pub mod list;
pub mod marks;
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

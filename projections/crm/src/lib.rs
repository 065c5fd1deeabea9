//! CRM's read models: what is read, in the shape in which it is read.
//!
//! The projector hands each projection batches of events in log order, inside a transaction whose `search_path` is the
//! schema to write. A reducer decodes its events ([`change`]), loads the rows that they touch once, folds in memory
//! ([`fold`]) and writes whole tables' worth of rows in one statement each ([`table`]): no statement is sent per event.
//! An event that can't be applied is answered as poison with its position; the projector parks that aggregate and goes on.
//!
//! Queries stand beside the reducers whose tables they ask. They take the request's one transaction, in which row level
//! security already shows only one tenant; still each condition begins with `tenant_id`, because the keys do.
//!
//! Row level security lets Postgres use an index only for operators that are marked leakproof: comparisons are, `@@` and
//! `LIKE` are not, and a GIN index would be left unused. That is why the directories keep their words in a table of their
//! own ([`words`]), searched by range.
//!
//! To add a read model: a folder here with its `tables.sql`, its reducer and its queries; its `mod` line and its line in
//! [`projections`]. Change a table or the meaning of a column: raise the projection's version, and `inopsio projection
//! rebuild` makes it anew from the log.

mod as_of;
mod change;
mod fold;
mod history;
mod named;
mod paging;
mod projection;
mod table;
mod words;

pub mod accounts;
pub mod contacts;
pub mod currencies;
pub mod leads;
pub mod opportunities;
pub mod pipelines;

use std::sync::Arc;

pub use as_of::{AsOf, End};
pub use named::Named;
pub use paging::{ListError, Seek, SeekKey};
use projector::Projection;

/// All read models of CRM.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(leads::Leads),
        Arc::new(contacts::Contacts),
        Arc::new(accounts::Accounts),
        Arc::new(opportunities::Opportunities),
        Arc::new(pipelines::Pipelines),
        Arc::new(currencies::CurrencyRates),
    ]
}

//! CRM's read models: what is read, in the shape in which it is read.
//!
//! The projector hands each projection batches of events in log order, inside a transaction whose `search_path` is the
//! schema to write. How a reducer goes from events to rows, and a query from rows to a page, is in the crate `folding`.
//!
//! Queries stand beside the reducers whose tables they ask. They take the request's one transaction, in which row level
//! security already shows only one tenant; still each condition begins with `tenant_id`, because the keys do.
//!
//! To add a read model: a folder here with its `tables.sql`, its reducer and its queries; its `mod` line and its line in
//! [`projections`]. Change a table or the meaning of a column: raise the projection's version, and `inopsio projection
//! rebuild` makes it anew from the log.

pub mod accounts;
pub mod contacts;
pub mod currencies;
pub mod leads;
pub mod opportunities;
pub mod pipelines;

use std::sync::Arc;

pub use folding::list::Order;
pub use folding::{AsOf, End, ListError, Named, Seek, SeekKey};
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

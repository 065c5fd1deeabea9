//! CRM's read models: tables that are computed from events, in the form in which they are queried.
//!
//! The projector gives each projection batches of events in log order, inside a transaction whose `search_path` is the
//! schema to write. The crate `folding` has what all domains share: how a reducer turns events into rows, and a query turns rows
//! into a page.
//!
//! Queries are beside the reducers of their tables. They use the request's one transaction, in which row level
//! security already shows only one tenant; each condition still begins with `tenant_id`, because the keys do.
//!
//! To add a read model: a folder here with its `tables.sql`, its reducer and its queries; its `mod` line, and its line in
//! [`projections`]. When you change a table or the meaning of a column, raise the projection's version; `inopsio projection
//! rebuild` then computes it again from the log.

pub mod accounts;
pub mod contacts;
pub mod currencies;
pub mod leads;
pub mod opportunities;
pub mod pipelines;

use std::sync::Arc;

pub use folding::history::{Version, versions};
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

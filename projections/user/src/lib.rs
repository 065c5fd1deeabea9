//! The user service's read models of people and tenants: tables that are computed from events, in the form in which they are queried.
//!
//! - [`people`] is the directory: searched by words; listed by role, group and organization; each user as of any time.
//! - [`roles`] and [`groups`] keep what they allowed at any time.
//! - [`access`] combines the three: what a person may do, could do at an earlier time, and what changed between two times.
//! - [`dry_run`] computes which requests other rules would have refused.
//!
//! The crate `folding` has what all domains share: how a reducer turns events into rows, and a query turns rows into a page.
//!
//! Queries are beside the reducers of their tables. They use the request's one transaction, in which row level
//! security already shows only one tenant; each condition still begins with `tenant_id`, because the keys do.
//!
//! To add a read model: a folder here with its `tables.sql`, its reducer and its queries; its `mod` line, and its line in
//! [`projections`]. When you change a table or the meaning of a column, raise the projection's version; `inopsio projection
//! rebuild` then computes it again from the log.

pub mod access;
pub mod domains;
pub mod dry_run;
pub mod groups;
pub mod invitations;
pub mod organizations;
pub mod people;
pub mod roles;

use std::sync::Arc;

pub use folding::{AsOf, ListError, Named, RolePeriod, Seek, SeekKey};
use projector::Projection;

/// All read models of the user service.
pub fn projections() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(people::People),
        Arc::new(roles::Roles),
        Arc::new(groups::Groups),
        Arc::new(organizations::Organizations),
        Arc::new(domains::Domains),
        Arc::new(invitations::Invitations),
    ]
}

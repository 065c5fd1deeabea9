//! The user service's read models, people and tenants: what is read, in the shape in which it is read.
//!
//! [`people`] is the directory: searched by words, listed by role, group and organization, and how each user stood at any time.
//! [`roles`] and [`groups`] keep what they allowed at any time; [`access`] puts the three together: what somebody may do, might
//! have done at a time, and what changed between two; [`dry_run`] what they would have been refused under other rules. How a
//! reducer goes from events to rows, and a query from rows to a page, is in the crate `folding`.
//!
//! Queries stand beside the reducers whose tables they ask. They take the request's one transaction, in which row level
//! security already shows only one tenant; still each condition begins with `tenant_id`, because the keys do.
//!
//! To add a read model: a folder here with its `tables.sql`, its reducer and its queries; its `mod` line and its line in
//! [`projections`]. Change a table or the meaning of a column: raise the projection's version, and `inopsio projection
//! rebuild` makes it anew from the log.

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

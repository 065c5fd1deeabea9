//! The directory of tenants: which there are, under which names, in which cell each lives, and how they come, move and go.
//!
//! It is a database of its own ([`migrate`]), because it belongs to no service; but for what is not known yet, nothing on a request's
//! way asks it. [`Directory`] is its table of tenants and of the domains that they have shown to be their own. What happens to a
//! tenant's place is decided in [`place`], which does no I/O, and written down, in order, in [`placements`]; a front before several
//! cells follows these in a [`cell_map`]. (A cell is one Postgres, one nats-server or cluster, and the processes that work with these.)
//!
//! A tenant is made, suspended and deleted by commands to the user service, which [`lifecycle`] sends for whoever operates the platform.
//! What has to be done outside that service's log is asked of [`Installation`] by the sagas `provision_tenant`, `note_tenant_status` and
//! `delete_tenant`: a name is reserved, databases and streams are looked at, keys are made; at the end all that the services hold of the
//! tenant is destroyed. [`moving`] carries a tenant from one cell to another while it works, a service after the other.
//!
//! Which services there are, and what they hold, comes in as [`Holdings`]. Something that happens to places is a variant of
//! [`place::Placed`], with its rule and its test there; something that tenants have in a service stands in one of the lists of
//! [`moving`] (a test of the gateway finds a table that does not); a column is added in `tables.sql`, where all of it may run again.

#![deny(missing_docs)]

pub mod cell_map;
mod holdings;
mod installation;
pub mod lifecycle;
pub mod moving;
pub mod place;
pub mod placements;
mod tables;
mod tenants;
mod write_side;

pub use holdings::Holdings;
pub use installation::{Installation, KeyRings};
pub use placements::{Placements, PlacementsError};
pub use tables::{admin_options, migrate};
pub use tenants::{Directory, DirectoryError, Listed, Tenant};
pub use user_sagas::{PlaceError, TenantStanding};
pub use write_side::{WriteSideError, write_side};

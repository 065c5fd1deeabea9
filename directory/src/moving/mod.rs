//! Moving a tenant from one cell to another. [`Mover`] runs the move; it has a `ServiceMove` for each service, which copies the log, and the
//! other tables of a service are moved by `side_tables`.

mod error;
mod mover;
mod service_move;
mod side_tables;

pub use error::MoveError;
pub use mover::{Moved, MovedService, Mover};
pub use side_tables::{COPIED_TABLES, NOT_COPIED_TABLES};

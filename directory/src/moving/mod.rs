//! How a tenant comes from one cell to another: [`Mover`] does it, a `leg` for each service, with what stands `beside` its log.

mod beside;
mod error;
mod leg;
mod mover;

pub use beside::{CARRIED, MADE_AGAIN};
pub use error::MoveError;
pub use mover::{Moved, MovedService, Mover};

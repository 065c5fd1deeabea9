//! Tenants spread over cells: a cell is one Postgres, one nats-server or cluster, and the processes that work with these.
//!
//! The [`atlas`] in the directory of tenants says in which cell each lives; what may happen to a tenant's place is decided in
//! [`placing`], which does no I/O. `inopsio serve --cells` stands before them: [`map`] follows the atlas, and [`front`] sends all that a
//! tenant asks (REST, GraphQL, feeds, pages) to its cell, by the tenant that the token names. It vouches for nothing: the cell verifies
//! the token. The [`mover`] moves a tenant (`inopsio tenant move`), a `leg` for each service, with what stands [`beside`] its log.

pub mod atlas;
pub mod beside;
mod error;
mod front;
mod leg;
mod map;
pub mod mover;
pub mod placing;
mod upgrade;
mod whose;

pub use error::MoveError;
pub(crate) use front::serve;

//! `inopsio serve --cells`: what stands before several cells. (A cell is one Postgres, one nats-server or cluster, and the processes that
//! work with these; in which of them a tenant lives, and how it moves, is the crate `directory`.)
//!
//! [`front`] sends all that a tenant asks (REST, GraphQL, feeds, pages) to its cell, by the tenant that the token names ([`tenant_hint`]) and
//! the map of the directory. It vouches for nothing: the cell verifies the token. Websockets are joined by [`upgrade`].

mod front;
mod tenant_hint;
mod upgrade;

pub(crate) use front::serve;

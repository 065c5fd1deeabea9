//! `inopsio serve --cells`: the gateway in front of several cells. (A cell is one Postgres, one nats-server or cluster, and the processes
//! that use them. The placement and the moves of tenants are in the crate `directory`.)
//!
//! [`front`] forwards every request of a tenant (REST, GraphQL, feeds, pages) to its cell, by the tenant in the token, the path or a
//! mailed link ([`tenant_hint`]) and the cell map of the directory. It authenticates nobody: the cell verifies the token. [`upgrade`]
//! forwards WebSockets.

mod front;
mod tenant_hint;
mod upgrade;

pub(crate) use front::serve;

//! The types that all layers share: tenants, callers, events, time, money, refusals. No I/O, no async runtime.
//!
//! A caller ([`Caller`]) sends a command to an aggregate ([`Aggregate`]), which decides on events ([`events!`]). The log
//! records them ([`RecordedEvent`]) with who, why and when ([`EventMetadata`]). A command that is not executed is refused
//! ([`Refusal`]) with a stable code. Time and identifiers are injected ([`Clock`], [`IdSource`]); `clippy.toml` forbids the ambient
//! ones.
//!
//! Add something here only if two layers need it; what one layer needs belongs there. The steps of a change through the layers are
//! explained in `docs/src/road.md`.

#![deny(missing_docs)]

// The macros refer to this crate as `::kernel`, so that path has to exist in this crate too.
extern crate self as kernel;

pub mod aggregate;
mod aggregate_type;
mod backoff;
mod caller;
mod checks;
mod clock;
mod countries;
mod day;
pub mod event;
mod formula;
mod id;
mod idempotent;
mod instant;
mod last_times;
mod leaf;
mod listed;
mod machines;
mod metadata;
mod money;
mod patterns;
pub mod personal;
mod picture;
mod postal_address;
mod recent;
mod recent_authentication;
mod recorded;
mod refusal;
mod sent_links;
mod service;
mod tenant;
mod tree;
mod unicode;
mod upcast;
mod versions;

pub use aggregate::Aggregate;
pub use aggregate_type::AggregateType;
pub use backoff::Backoff;
pub use caller::{Caller, Grant, Role, abbreviate, covers};
pub use checks::{Checks, is_deceptive, is_web_address};
pub use clock::{Clock, IdSource, ManualClock, SystemClock, SystemIds, ago, pauses, to_micros};
pub use day::{NotADay, deserialize_day, read_day};
pub use event::{DecodeError, Event, EventType};
pub use formula::{from_cell, is_formula, without_formula};
pub use id::{NotAnId, deserialize_uuid, read_uuid};
pub use idempotent::{ANSWER_RETENTION, ANSWER_SWEEP_INTERVAL, IdempotentRequest};
pub use instant::{NotATime, deserialize_optional_time, deserialize_stored_time, read_time, write_time};
pub use last_times::LastTimes;
pub use leaf::{Leaf, LeafHash};
pub use listed::listed;
pub use machines::{LookedUp, MachineStanding, Machines, NoMachines};
pub use metadata::EventMetadata;
pub use money::{Currency, Money};
pub use patterns::{PatternError, TypePatterns};
pub use personal::Personal;
pub use picture::{Picture, PictureFile, PictureFormat, is_picture_address, is_picture_id, picture_address};
pub use postal_address::PostalAddress;
pub use recent::Recent;
pub use recent_authentication::{MAX_AUTHENTICATION_AGE, is_recent_authentication};
pub use recorded::{Position, RecordedEvent};
pub use refusal::{FieldError, Kind, Refusal};
pub use sent_links::SentLinks;
pub use service::Service;
pub use tenant::{TenantId, is_slug};
pub use tree::{Leaves, Tree, root_by_path};
pub use unicode::{caseless, compatible, composed, folded};
pub use upcast::Upcast;
pub use versions::Versions;

ids! {
    /// A person who may sign in: the subject of their tokens. Two domains speak of it, so it stands here.
    UserId,
    /// A machine that has tokens of its own: a sensor, an integration.
    MachineId,
}

/// What the macros' expansions use; not for direct use.
#[doc(hidden)]
pub mod reexport {
    pub use cqrs_es::event_sink::EventSink;
    pub use cqrs_es::{Aggregate as CqrsAggregate, DomainEvent};
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize, Serialize};
    pub use serde_json::{Error as JsonError, from_slice};
    pub use uuid::Uuid;
}

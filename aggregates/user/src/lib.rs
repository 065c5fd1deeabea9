//! The user service's aggregates, the rules of people and tenants: what a user, role, group, organization or invitation may become, and why not.
//!
//! One file an aggregate, each in the order: events, state, commands, errors, `decide`, `evolve`, tests (given / when / then).
//! Where that is much, the events stay in the file and the rules stand in the folder of the same name (`user/life.rs`).
//! Steps that a state does not allow are refused with the list of those that it does. What would change nothing is no event.
//! Nothing here does I/O, reads a clock or makes an identifier: those come in with the command.
//!
//! Roles, groups and organizations of a user stand in the user's own stream, so that what somebody might do at any time is
//! read from one history, and a group of a hundred thousand is no larger than one of two. That a tenant always has an owner
//! ([`Owners`]) is a rule over all its users: it is an aggregate of its own, changed in the same append.
//!
//! To add an aggregate: its file here, its `mod` and `pub use` line below, its line in [`AGGREGATES`]; then the same stem in
//! `commands/user`, `projections/user` and `api/user`.

mod domain;
mod group;
mod import_batch;
mod invitation;
mod organization;
mod owners;
mod preferences;
mod registration_policy;
mod role;
mod tenant;
mod user;

pub use domain::*;
pub use group::*;
pub use import_batch::*;
pub use invitation::*;
pub use organization::*;
pub use owners::*;
pub use preferences::*;
pub use registration_policy::*;
pub use role::*;
pub use tenant::*;
pub use user::*;

kernel::ids! {
    /// A group of users.
    GroupId,
    /// An organization within a tenant.
    OrganizationId,
    /// A file that was imported.
    ImportId,
    /// An invitation.
    InvitationId,
    /// A role that a tenant defined.
    RoleId,
    /// A domain that a tenant claims.
    DomainId,
}

/// Every aggregate of the user service.
pub const AGGREGATES: &[kernel::AggregateType] = &[
    kernel::AggregateType::of::<Tenant>(),
    kernel::AggregateType::of::<User>(),
    kernel::AggregateType::of::<Owners>(),
    kernel::AggregateType::of::<Role>(),
    kernel::AggregateType::of::<Group>(),
    kernel::AggregateType::of::<Organization>(),
    kernel::AggregateType::of::<ClaimedDomain>(),
    kernel::AggregateType::of::<Invitation>(),
    kernel::AggregateType::of::<ImportBatch>(),
    kernel::AggregateType::of::<Preferences>(),
    kernel::AggregateType::of::<RegistrationPolicy>(),
];

/// Every event type and version that the user service's log may hold.
pub fn catalog() -> Vec<kernel::EventType> {
    AGGREGATES.iter().flat_map(|aggregate| (aggregate.catalog)()).collect()
}

//! The user service's aggregates: the rules of people and tenants (users, roles, groups, organizations, invitations and more).
//!
//! Each aggregate is one file, in this order: events, state, commands, errors, `decide`, `evolve`, tests (given / when / then).
//! In a large one, the file keeps the events, and the rules are in the folder of the same name (`user/life.rs`). A step that is
//! not allowed in the current state is refused, with the list of allowed steps. A command that would change nothing makes no event.
//! Nothing here does I/O, reads a clock or makes an identifier: these come in with the command.
//!
//! A user's roles, groups and organizations are in the user's own stream. So one history tells what the user could do at any
//! time, and a group of a hundred thousand members is no larger than a group of two. The rule that a tenant always has an owner
//! concerns all of its users: it is an aggregate of its own ([`Owners`]), changed in the same append.
//!
//! To add an aggregate: add its file, its `mod` and `pub use` lines below, and its line in [`AGGREGATES`]; then files of the same
//! name in `commands/user`, `projections/user` and `api/user`.

mod domain;
mod group;
mod import_batch;
mod invitation;
mod organization;
mod owners;
mod preferences;
mod registration_policy;
mod role;
mod role_hierarchy;
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
pub use role_hierarchy::*;
pub use tenant::*;
pub use user::*;

kernel::ids! {
    /// A group of users.
    GroupId,
    /// An organization within a tenant.
    OrganizationId,
    /// A file of users that was imported.
    ImportId,
    /// An invitation to become a user.
    InvitationId,
    /// A role defined by a tenant.
    RoleId,
    /// A domain claimed by a tenant.
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
pub fn event_types() -> Vec<kernel::EventType> {
    AGGREGATES.iter().flat_map(|aggregate| (aggregate.event_types)()).collect()
}

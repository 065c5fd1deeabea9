//! CRM's aggregates: the business rules of leads, contacts, accounts, opportunities and pipelines.
//!
//! Each aggregate is one file, in this order: events, state, commands, errors, `decide`, `evolve`, tests (given / when / then).
//! In a large one, the file keeps the events, and the rules are in the folder of the same name (`lead/life.rs`). A step that is
//! not allowed in the current state is refused, with the list of allowed steps. A command that would change nothing makes no event.
//! Nothing here does I/O, reads a clock or makes an identifier: these come in with the command.
//!
//! To add an aggregate: add its file, its `mod` and `pub use` lines below, and its line in [`AGGREGATES`]; then files of the same
//! name in `commands/crm`, `projections/crm` and `api/crm`.

mod account;
mod contact;
mod currencies;
mod erasure;
mod follow_up;
mod import_batch;
mod lead;
mod opportunity;
mod pipeline;

pub use account::*;
pub use contact::*;
pub use currencies::*;
pub use erasure::*;
pub use follow_up::*;
pub use import_batch::*;
pub use lead::*;
pub use opportunity::*;
pub use pipeline::*;

kernel::ids! {
    /// A lead.
    LeadId,
    /// A contact: a person.
    ContactId,
    /// An account: an organization.
    AccountId,
    /// An opportunity.
    OpportunityId,
    /// A pipeline.
    PipelineId,
    /// A stage of a pipeline.
    StageId,
    /// An import of a file.
    ImportId,
}

/// Every aggregate of CRM.
pub const AGGREGATES: &[kernel::AggregateType] = &[
    kernel::AggregateType::of::<Lead>(),
    kernel::AggregateType::of::<Contact>(),
    kernel::AggregateType::of::<Account>(),
    kernel::AggregateType::of::<Opportunity>(),
    kernel::AggregateType::of::<Pipeline>(),
    kernel::AggregateType::of::<Currencies>(),
    kernel::AggregateType::of::<ImportBatch>(),
    kernel::AggregateType::of::<FollowUp>(),
];

/// Every event type and version that CRM's log may hold.
pub fn event_types() -> Vec<kernel::EventType> {
    AGGREGATES.iter().flat_map(|aggregate| (aggregate.event_types)()).collect()
}

//! CRM's aggregates, its rules: what a lead, contact, account, opportunity or pipeline may become, and why not.
//!
//! One file an aggregate, each in the order: events, state, commands, errors, `decide`, `evolve`, tests (given / when / then).
//! Where that is much, the events stay in the file and the rules stand in the folder of the same name (`lead/life.rs`).
//! Steps that a state does not allow are refused with the list of those that it does. What would change nothing is no event.
//! Nothing here does I/O, reads a clock or makes an identifier: those come in with the command.
//!
//! To add an aggregate: its file here, its `mod` and `pub use` line below, its line in [`AGGREGATES`]; then the same stem in
//! `commands/crm`, `projections/crm` and `api/crm`.

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
pub fn catalog() -> Vec<kernel::EventType> {
    AGGREGATES.iter().flat_map(|aggregate| (aggregate.catalog)()).collect()
}

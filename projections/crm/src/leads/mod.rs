//! The lead list, the history of each lead, and the funnel.

mod conversion;
mod funnel;
mod history;
mod list;
mod reducer;
mod row;

pub use conversion::converted_into;
pub use folding::list::{count, find, list};
use folding::projection;
pub use funnel::{FunnelOfSource, funnel};
pub use history::version_as_of;
pub use list::{LeadFilter, LeadOrder, of_import};
pub use row::{LeadHistoryRow, LeadRow};

projection! {
    /// Projects leads.
    pub struct Leads = "leads" @ 4, tables ["lead", "lead_history"], events "crm.lead." by reducer::apply,
    counts "lead_id" in ["lead", "lead_history"], forgets by reducer::forget
}

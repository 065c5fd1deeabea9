//! CRM in REST, under `/v1/crm/`: one file an aggregate.

mod answer;
mod lead;

use face::Runtime;
use poem_openapi::Tags;

/// All operations.
pub type Rest = lead::Leads;

/// All operations over a running service.
pub fn rest(runtime: Runtime) -> Rest {
    lead::Leads::new(runtime)
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Somebody who might buy: from capture to conversion.
    Leads,
}

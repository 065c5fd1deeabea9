//! CRM in REST, under `/v1/crm/`: one file per aggregate. Every command is a POST to the resource or collection that it changes.

mod account;
mod assignment;
mod contact;
mod conversion;
mod currencies;
mod erasure;
mod export;
mod follow_up;
mod form;
mod import;
mod lead;
mod money;
mod opportunity;
mod pipeline;
mod stage;

use face::Runtime;
use poem_openapi::Tags;

face::rest! {
    /// All operations over a running service.
    pub fn rest(runtime: Runtime) -> Rest of [
        lead::Leads,
        conversion::Conversions,
        import::Imports,
        export::Exports,
        contact::Contacts,
        account::Accounts,
        opportunity::Opportunities,
        pipeline::Pipelines,
        stage::Stages,
        currencies::CurrencySettings,
        follow_up::FollowUps,
        erasure::Erasures,
    ]
}

/// How the reference groups the operations.
#[derive(Clone, Copy, Debug, Tags)]
enum Tag {
    /// Leads (potential customers), from capture to conversion.
    Leads,
    /// Contacts: people at your accounts.
    Contacts,
    /// Accounts: the organizations to which you sell.
    Accounts,
    /// Opportunities: deals that move through a pipeline.
    Opportunities,
    /// Pipelines and their ordered stages.
    Pipelines,
    /// The base currency and the exchange rates.
    Currencies,
}

#[cfg(test)]
mod tests {
    use crm_aggregates::{LeadStatus, OpportunityStatus};
    use poem_openapi::OpenApi;

    use super::Rest;

    #[test]
    fn what_a_refusal_says_is_allowed_is_called_as_its_operation() {
        let paths: Vec<String> =
            <Rest as OpenApi>::meta().into_iter().flat_map(|api| api.paths).map(|path| path.path).collect();
        let leads = [LeadStatus::New, LeadStatus::Assigned, LeadStatus::InProcess, LeadStatus::Qualified];
        let leads = leads.iter().flat_map(|status| status.allowed()).map(|step| ("leads", step.as_str()));
        let deals = [OpportunityStatus::Open, OpportunityStatus::Won];
        let deals = deals.iter().flat_map(|status| status.allowed()).map(|step| ("opportunities", step.as_str()));
        for (of, step) in leads.chain(deals) {
            let (of, step) = (format!("/v1/crm/{of}/"), format!("/{}", step.replace('_', "-")));
            assert!(paths.iter().any(|path| path.starts_with(&of) && path.ends_with(&step)), "{of}…{step}");
        }
    }
}

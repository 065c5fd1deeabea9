//! Loads opportunities: creates those that no conversion opened, then moves all of them through their pipelines.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::super::data::{Deal, DealStep, Origin};
use super::parallel::for_all;
use super::setup::PipelineIds;
use super::{Counted, Loader};

impl Loader<'_> {
    /// Loads all deals. `opened` has the ids of opportunities that conversions opened, by the deal's index.
    pub(super) async fn deals(
        &self,
        opened: HashMap<usize, String>,
        accounts: &[String],
        contacts: &[String],
        pipelines: &[PipelineIds],
    ) -> Result<Counted<()>> {
        let opened = &opened;
        let requests = for_all(&self.set.deals, self.at_once, |number, deal| async move {
            let (id, made) = match deal.origin {
                Origin::Lead(lead) => {
                    let id = opened.get(&number).with_context(|| format!("lead {lead} opened no opportunity"))?;
                    (id.clone(), 0)
                }
                Origin::Contact(contact) => {
                    let mut body = opening(deal, pipelines);
                    body["account"] = json!(accounts[self.set.contacts[contact].account]);
                    body["contact"] = json!(contacts[contact]);
                    (self.create("/opportunities", &format!("deal/{number}"), deal.opened_at, body).await?, 1)
                }
            };
            for (index, (at, step)) in deal.steps.iter().enumerate() {
                let (verb, body) = request(step, deal, pipelines);
                let key = format!("deal/{number}/{index}");
                self.send(format!("/opportunities/{id}/{verb}"), &key, *at, body).await?;
            }
            Ok(made + deal.steps.len())
        })
        .await?;
        let requests = requests.into_iter().sum();
        Ok(Counted { result: (), records: self.set.deals.len(), requests })
    }
}

fn opening(deal: &Deal, pipelines: &[PipelineIds]) -> Value {
    json!({
        "name": deal.name,
        "pipeline": pipelines[deal.pipeline].id,
        "amount": { "minor": deal.amount_minor, "currency": deal.currency },
        "close_date": deal.close_date,
        "owner": deal.owner,
    })
}

/// The last segment of the command's path, and its body.
fn request(step: &DealStep, deal: &Deal, pipelines: &[PipelineIds]) -> (&'static str, Value) {
    match step {
        DealStep::Move(stage) => ("move-stage", json!({ "stage": pipelines[deal.pipeline].stages[*stage] })),
        DealStep::Amount(minor) => {
            ("change-amount", json!({ "amount": { "minor": minor, "currency": deal.currency } }))
        }
        DealStep::CloseDate(date) => ("change-close-date", json!({ "close_date": date })),
        DealStep::Reassign(owner) => ("reassign", json!({ "owner": owner })),
        DealStep::Win => ("win", json!({})),
        DealStep::Lose(reason) => ("lose", json!({ "reason": reason })),
        DealStep::Reopen => ("reopen", json!({})),
    }
}

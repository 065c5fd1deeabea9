//! Loads leads: imports them from a CSV file, then sends the steps of each.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use kernel::PostalAddress;
use serde_json::{Value, json};

use super::super::data::{Deal, Lead, LeadStep, Origin};
use super::parallel::for_all;
use super::setup::PipelineIds;
use super::{Counted, Loader};

/// Page size when leads are looked up.
const PAGE: usize = 200;

const LOOK_UP: &str = "query ($first: Int!, $after: String) {
    crm { leads(first: $first, after: $after) { edges { node { id email } } pageInfo { hasNextPage endCursor } } }
}";

impl Loader<'_> {
    /// Imports the leads. Returns their ids in the order of the data set.
    pub(super) async fn import(&self) -> Result<Counted<Vec<String>>> {
        let report = self.api.import_leads(csv(&self.set.leads), &format!("{}/leads", self.key)).await?;
        ensure!(report["refused"] == 0, "rows were refused: {}", report["errors"]);
        let (ids, pages) = self.look_up().await?;
        self.bar.inc(1);
        Ok(Counted { records: ids.len(), requests: 1 + pages, result: ids })
    }

    /// Finds the ids by e-mail address, page by page, because the import does not return them. Also returns the number of pages.
    async fn look_up(&self) -> Result<(Vec<String>, usize)> {
        let mut by_email = HashMap::new();
        let mut after = Value::Null;
        let mut pages = 0;
        loop {
            let answer = self.api.ask(LOOK_UP, json!({ "first": PAGE, "after": after })).await?;
            let leads = &answer["leads"];
            for edge in leads["edges"].as_array().context("a page of leads")? {
                if let (Some(email), Some(id)) = (edge["node"]["email"].as_str(), edge["node"]["id"].as_str()) {
                    by_email.insert(email.to_owned(), id.to_owned());
                }
            }
            pages += 1;
            if leads["pageInfo"]["hasNextPage"] != true {
                break;
            }
            after = leads["pageInfo"]["endCursor"].clone();
        }
        let ids = self.set.leads.iter().map(|lead| {
            by_email.remove(&lead.person.email).with_context(|| {
                format!(
                    "the lead {} does not exist any more: it was erased or changed since it was loaded; name another tenant with --tenant",
                    lead.person.email
                )
            })
        });
        Ok((ids.collect::<Result<_>>()?, pages))
    }

    /// Sends the steps of all leads. Returns the ids of the opportunities that conversions opened, by the deal's index.
    pub(super) async fn lives(
        &self,
        leads: &[String],
        accounts: &[String],
        pipelines: &[PipelineIds],
    ) -> Result<Counted<HashMap<usize, String>>> {
        let deals: HashMap<usize, usize> = self.set.deals.iter().enumerate().filter_map(of_lead).collect();
        let deals = &deals;
        let opened = for_all(&self.set.leads, self.at_once, |number, lead| async move {
            let mut opened = None;
            for (at, step) in &lead.steps {
                let deal = deals.get(&number).map(|deal| (*deal, &self.set.deals[*deal]));
                let (verb, body) = request(step, deal.map(|(_, deal)| deal), accounts, pipelines);
                let path = format!("/leads/{}/{verb}", leads[number]);
                // A recycled lead may repeat a step, so the step's time is part of the key.
                let key = format!("lead/{number}/{verb}/{}", at.timestamp());
                let answer = self.send(path, &key, *at, body).await?;
                if let (Some((deal, _)), Some(id)) = (deal, answer["opportunity"].as_str()) {
                    opened = Some((deal, id.to_owned()));
                }
            }
            Ok(opened)
        })
        .await?;
        let steps = self.set.leads.iter().map(|lead| lead.steps.len()).sum();
        Ok(Counted { result: opened.into_iter().flatten().collect(), records: steps, requests: steps })
    }

    /// The converted lead with the most steps; of several, the first.
    pub(super) fn best_converted(&self) -> Option<usize> {
        let converted =
            |lead: &Lead| matches!(lead.steps.last(), Some((_, LeadStep::Convert { opportunity: true, .. })));
        let leads = self.set.leads.iter().enumerate().filter(|(_, lead)| converted(lead));
        leads.rev().max_by_key(|(_, lead)| lead.steps.len()).map(|(index, _)| index)
    }
}

fn of_lead((index, deal): (usize, &Deal)) -> Option<(usize, usize)> {
    match deal.origin {
        Origin::Lead(lead) => Some((lead, index)),
        Origin::Contact(_) => None,
    }
}

/// The last segment of the command's path, and its body.
fn request(
    step: &LeadStep,
    deal: Option<&Deal>,
    accounts: &[String],
    pipelines: &[PipelineIds],
) -> (&'static str, Value) {
    match step {
        LeadStep::Assign { owner } => ("assign", json!({ "owner": owner })),
        LeadStep::StartWork => ("start-work", json!({})),
        LeadStep::Qualify { note } => ("qualify", json!({ "note": note })),
        LeadStep::Recycle { reason } => ("recycle", json!({ "reason": reason })),
        LeadStep::Disqualify { reason } => ("disqualify", json!({ "reason": reason })),
        LeadStep::Convert { account, .. } => {
            let mut body = json!({});
            if let Some(account) = account {
                body["account"] = json!(accounts[*account]);
            }
            if let Some(deal) = deal {
                body["opportunity"] = json!({
                    "name": deal.name,
                    "pipeline": pipelines[deal.pipeline].id,
                    "amount": { "minor": deal.amount_minor, "currency": deal.currency },
                    "close_date": deal.close_date,
                });
            }
            ("convert", body)
        }
    }
}

/// The leads as a CSV file.
fn csv(leads: &[Lead]) -> Vec<u8> {
    let mut file =
        String::from("name,company,title,email,phone,country,source,street,locality,postal_code,occurred_at\n");
    let nowhere = PostalAddress::default();
    for lead in leads {
        let Lead { company, person, source, captured_at, .. } = lead;
        let PostalAddress { street, locality, postal_code, .. } = person.address.as_ref().unwrap_or(&nowhere);
        let [phone, street, locality, postal_code] =
            [&person.phone, street, locality, postal_code].map(|text| text.as_deref().unwrap_or_default());
        let fields = [&person.name, &company.name, person.title, &person.email, phone, company.country.code, source];
        for field in fields.into_iter().chain([street, locality, postal_code]) {
            file.push_str(&quoted(field));
            file.push(',');
        }
        file.push_str(&rfc3339(*captured_at));
        file.push('\n');
    }
    file.into_bytes()
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_break_the_file_are_quoted() {
        assert_eq!(quoted("Ada"), "Ada");
        assert_eq!(quoted("Byron, \"Ada\""), "\"Byron, \"\"Ada\"\"\"");
    }
}

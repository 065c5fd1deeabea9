//! Exports leads to a CSV file, in the order in which they were captured.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use crm_aggregates::{LeadSource, LeadStatus};
use crm_projections::leads::{self, LeadFilter, LeadOrder, LeadRow};
use crm_projections::{Order, Seek};
use jobs::{Arguments, Fault, Kind, Step, Work};
use kernel::{Checks, PostalAddress, without_formula};
use projector::ReadModels;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The kind's name.
pub const EXPORT_LEADS: &str = "export_leads";
/// The permission to export leads, and to download the file.
pub const EXPORT: &str = "crm:lead:export";

/// The number of leads in a step, and so in a part of the file.
const STEP: i64 = 1000;

/// Which leads to export; `None` does not restrict them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportLeads {
    /// Only leads with one of these statuses.
    pub status: Option<Vec<LeadStatus>>,
    /// Only leads from one of these sources.
    pub source: Option<Vec<LeadSource>>,
    /// The user responsible.
    pub owner: Option<String>,
    /// Captured at this time or later.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    pub captured_from: Option<DateTime<Utc>>,
    /// Captured before this time.
    #[serde(default, deserialize_with = "kernel::deserialize_optional_time")]
    pub captured_before: Option<DateTime<Utc>>,
}

impl Arguments for ExportLeads {
    fn check(&mut self, checks: &mut Checks, at: &str) {
        if let Some(owner) = &mut self.owner {
            *owner = checks.identifier(&format!("{at}/owner"), owner, crm_commands::lengths::SUBJECT);
        }
        if let (Some(from), Some(before)) = (self.captured_from, self.captured_before)
            && before < from
        {
            let [from, before] = [from, before].map(kernel::write_time);
            let detail = format!("{before} is before captured_from, {from}; it has to be that time or later");
            checks.refuse(format!("{at}/captured_before"), "time_backwards", detail);
        }
    }
}

/// The checkpoint of an export.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    after: Option<Seek>,
    done: u64,
}

/// A line of the file; missing values are empty. Text that people wrote is protected from being run as a formula by spreadsheets. A
/// telephone number consists of `+` and digits, which no spreadsheet can run.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    name: Cow<'a, str>,
    company: Option<Cow<'a, str>>,
    title: Option<Cow<'a, str>>,
    email: Option<Cow<'a, str>>,
    phone: Option<&'a str>,
    country: Option<&'a str>,
    source: LeadSource,
    status: LeadStatus,
    owner: Option<Cow<'a, str>>,
    captured_at: DateTime<Utc>,
    street: Option<Cow<'a, str>>,
    locality: Option<Cow<'a, str>>,
    region: Option<Cow<'a, str>>,
    postal_code: Option<Cow<'a, str>>,
    address_country: Option<&'a str>,
}

pub(crate) fn kind(read_models: ReadModels) -> Kind {
    Kind::new(EXPORT_LEADS, move |work| export(read_models.clone(), work))
        .output("text/csv; charset=utf-8", EXPORT)
        .queue("exports")
        .offered::<ExportLeads>(EXPORT)
}

async fn export(read_models: ReadModels, work: Work) -> Result<Value, Fault> {
    let filter = filter(work.arguments()?, work.created_at());
    let tenant = work.tenant();
    let mut place: Place = work.checkpoint()?.unwrap_or_default();
    let mut transaction = read_models.begin(tenant).await.map_err(unavailable)?;
    let total = leads::count(&mut transaction, tenant, &filter).await.map_err(unavailable)?.cast_unsigned();
    drop(transaction);
    work.log(&format!("{total} leads, {} of them exported earlier", place.done)).await?;
    loop {
        if work.is_cancelled() {
            return Err(Fault::Cancelled);
        }
        // Each step has a transaction of its own, so that no snapshot is held for the length of the job.
        let mut transaction = read_models.begin(tenant).await.map_err(unavailable)?;
        let rows = leads::list(&mut transaction, tenant, &filter, LeadOrder::Oldest, place.after.clone(), STEP)
            .await
            .map_err(unavailable)?;
        drop(transaction);
        let first = place.after.is_none();
        if rows.is_empty() && !first {
            return Ok(json!({ "leads": place.done }));
        }
        let part = csv(&rows, first)?;
        let last = rows.len() < usize::try_from(STEP).unwrap_or(usize::MAX);
        place.done += rows.len() as u64;
        place.after = rows.last().map(|row| LeadOrder::Oldest.seek(row)).or(place.after);
        let checkpoint =
            serde_json::to_value(&place).map_err(|error| Fault::permanent("checkpoint_unwritable", error))?;
        work.step(Step { checkpoint, done: place.done, total: Some(total.max(place.done)), part: Some(part) }).await?;
        if last {
            return Ok(json!({ "leads": place.done }));
        }
    }
}

/// Excludes leads that were captured after the export was submitted, so that the export ends.
fn filter(asked: ExportLeads, asked_at: DateTime<Utc>) -> LeadFilter {
    let ExportLeads { status, source, owner, captured_from, captured_before } = asked;
    let captured_before = Some(captured_before.map_or(asked_at, |before| before.min(asked_at)));
    LeadFilter { status, source, owner, captured_from, captured_before, ..LeadFilter::default() }
}

fn csv(rows: &[LeadRow], header: bool) -> Result<Vec<u8>, Fault> {
    let unwritable = |error: &dyn std::fmt::Display| Fault::permanent("csv_unwritable", error);
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    if header {
        writer
            .write_record([
                "id",
                "name",
                "company",
                "title",
                "email",
                "phone",
                "country",
                "source",
                "status",
                "owner",
                "captured_at",
                "street",
                "locality",
                "region",
                "postal_code",
                "address_country",
            ])
            .map_err(|error| unwritable(&error))?;
    }
    let none = PostalAddress::default();
    for row in rows {
        let address = row.address.as_ref().map_or(&none, |address| &address.0);
        let line = Line {
            id: row.lead_id.to_string(),
            name: without_formula(&row.name),
            company: row.company.as_deref().map(without_formula),
            title: row.title.as_deref().map(without_formula),
            email: row.email.as_deref().map(without_formula),
            phone: row.phone.as_deref(),
            country: row.country.as_deref(),
            source: row.source.0,
            status: row.status.0,
            owner: row.owner.as_deref().map(without_formula),
            captured_at: row.captured_at,
            street: address.street.as_deref().map(without_formula),
            locality: address.locality.as_deref().map(without_formula),
            region: address.region.as_deref().map(without_formula),
            postal_code: address.postal_code.as_deref().map(without_formula),
            address_country: address.country.as_deref(),
        };
        writer.serialize(line).map_err(|error| unwritable(&error))?;
    }
    writer.into_inner().map_err(|error| unwritable(&error))
}

fn unavailable(error: impl std::fmt::Display) -> Fault {
    Fault::failed("read_models_unavailable", error.to_string())
}

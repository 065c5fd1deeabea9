//! The five questions: four GraphQL queries and one replay of the log.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, Utc};
use eventstore::ReplayFilter;
use futures::TryStreamExt;
use kernel::{RecordedEvent, Service, TenantId};
use serde_json::{Value, json};

use super::api::Api;
use super::load::Loaded;
use super::report::Report;
use super::show::{money, number, words};
use super::{Filled, timed};
use crate::context::Context;
use crate::output;
use crate::replay::ndjson::write_line;

/// How far back the questions look, in days.
const DAYS_AGO: u64 = 90;

const BOARD: &str = "query ($pipeline: UUID!, $asOf: DateTime) {
    crm { pipelineBoard(pipelineId: $pipeline, asOf: $asOf) {
        name count total { amount currency } weighted { amount currency }
        stages { stage { name probability } count total { amount currency } weighted { amount currency } }
    } }
}";

const MOVEMENT: &str = "query ($pipeline: UUID!, $from: DateTime!) {
    crm { pipelineMovement(pipelineId: $pipeline, from: $from) {
        totals { kind count total { amount currency } difference { amount currency } }
    } }
}";

const FUNNEL: &str = "query ($from: DateTime!, $to: DateTime!) {
    crm { funnel(from: $from, to: $to) {
        source captured assigned inProcess qualified converted disqualified conversionRate medianDaysToConvert
    } }
}";

/// Asks all questions and reports the answers.
pub async fn ask(filled: &Filled, context: &Context, slug: &str, report: &mut Report) -> Result<()> {
    let Filled { api, loaded, until, .. } = filled;
    let then = until.checked_sub_days(Days::new(DAYS_AGO)).context("a date")?;
    board(api, loaded, "1. The board today", None, report).await?;
    board(api, loaded, &format!("2. The board on {then}"), Some(midnight(then)), report).await?;
    movement(api, loaded, then, report).await?;
    funnel(api, filled.set.begins_at, midnight(*until), report).await?;
    if let Some(lead) = &loaded.converted_lead {
        replay(context, filled.tenant, slug, lead, report).await?;
    }
    Ok(())
}

async fn board(
    api: &Api,
    loaded: &Loaded,
    title: &str,
    as_of: Option<DateTime<Utc>>,
    report: &mut Report,
) -> Result<()> {
    for pipeline in &loaded.pipelines {
        let variables = json!({ "pipeline": pipeline, "asOf": as_of });
        let (answer, took) = timed(api.ask(BOARD, variables.clone())).await?;
        let board = &answer["pipelineBoard"];
        let mut table = output::table(["stage", "probability", "deals", "worth", "weighted"]);
        for stage in board["stages"].as_array().context("a board has stages")? {
            table.add_row([
                stage["stage"]["name"].as_str().unwrap_or_default().to_owned(),
                format!("{} %", stage["stage"]["probability"]),
                number(&stage["count"]),
                money(&stage["total"]),
                money(&stage["weighted"]),
            ]);
        }
        table.add_row([
            "all".to_owned(),
            String::new(),
            number(&board["count"]),
            money(&board["total"]),
            money(&board["weighted"]),
        ]);
        table.align_right(1..);
        let text = format!("\n{title}: {} ({} ms)\n{table}", words_of(&board["name"]), took.as_millis());
        report.answer("pipelineBoard", &variables, took, board.clone(), text)?;
    }
    Ok(())
}

async fn movement(api: &Api, loaded: &Loaded, since: NaiveDate, report: &mut Report) -> Result<()> {
    let mut table = output::table(["pipeline", "deals that", "deals", "worth now", "difference"]);
    let mut took = Duration::ZERO;
    let mut movements = Vec::new();
    for (pipeline, name) in loaded.pipelines.iter().zip(super::data::PIPELINES.map(|pipeline| pipeline.name)) {
        let variables = json!({ "pipeline": pipeline, "from": midnight(since) });
        let (answer, this) = timed(api.ask(MOVEMENT, variables)).await?;
        took += this;
        let movement = &answer["pipelineMovement"];
        for total in movement["totals"].as_array().context("a movement has totals")? {
            table.add_row([
                name.to_owned(),
                words(&total["kind"]),
                number(&total["count"]),
                money(&total["total"]),
                money(&total["difference"]),
            ]);
        }
        movements.push(json!({ "pipeline": name, "totals": movement["totals"] }));
    }
    table.align_right(2..);
    let text = format!("\n3. What moved since {since} ({} ms)\n{table}", took.as_millis());
    report.answer("pipelineMovement", &json!({ "from": midnight(since) }), took, movements.into(), text)
}

async fn funnel(api: &Api, from: DateTime<Utc>, to: DateTime<Utc>, report: &mut Report) -> Result<()> {
    let variables = json!({ "from": from, "to": to });
    let (answer, took) = timed(api.ask(FUNNEL, variables.clone())).await?;
    let steps = ["captured", "assigned", "inProcess", "qualified", "converted", "disqualified"];
    let mut table = output::table([
        "source",
        "captured",
        "assigned",
        "worked on",
        "qualified",
        "converted",
        "disqualified",
        "rate",
        "median days",
    ]);
    for source in answer["funnel"].as_array().context("a funnel has sources")? {
        let mut row = vec![words(&source["source"])];
        row.extend(steps.map(|step| number(&source[step])));
        row.push(source["conversionRate"].as_f64().map_or_else(String::new, |rate| format!("{:.1} %", rate * 100.0)));
        row.push(source["medianDaysToConvert"].as_f64().map_or_else(String::new, |days| format!("{days:.1}")));
        table.add_row(row);
    }
    table.align_right(1..);
    let text = format!("\n4. The funnel by source, from capture to conversion ({} ms)\n{table}", took.as_millis());
    report.answer("funnel", &variables, took, answer["funnel"].clone(), text)
}

/// Reads the events of a lead from the log, not from a read model.
async fn replay(context: &Context, tenant: TenantId, slug: &str, lead: &str, report: &mut Report) -> Result<()> {
    let store = context.store(Service::new("crm")).await?;
    let filter = ReplayFilter {
        aggregate_type: Some("crm.lead".to_owned()),
        aggregate_id: Some(lead.to_owned()),
        ..ReplayFilter::default()
    };
    let replayed = timed(async {
        let events = store.replay(tenant, filter).try_collect::<Vec<_>>().await?;
        // The lead's personal data is encrypted in the log. Decrypt it, as `inopsio replay --open` does for those who may see it.
        Ok(store.opened(events).await?)
    })
    .await;
    store.close().await;
    let (events, took) = replayed?;
    let mut table = output::table(["position", "version", "occurred", "recorded", "event", "what it says"]);
    for event in &events {
        table.add_row([
            event.position.to_string(),
            event.sequence.to_string(),
            event.occurred_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            event.recorded_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            event.event_type.clone(),
            says(event)?,
        ]);
    }
    let text = format!(
        "\n5. A converted lead, replayed from the log: {} events ({} ms)\n   \
         inopsio replay --tenant {slug} --aggregate crm.lead --id {lead} --open\n{table}",
        events.len(),
        took.as_millis()
    );
    let variables = json!({ "tenant": slug, "aggregate": "crm.lead", "id": lead });
    report.answer("replay", &variables, took, documents(&events)?, text)
}

/// Events as `inopsio replay` prints them.
fn documents(events: &[RecordedEvent]) -> Result<Value> {
    let line = |event: &RecordedEvent| -> Result<Value> {
        let mut line = Vec::new();
        write_line(&mut line, event);
        Ok(serde_json::from_slice(&line)?)
    };
    events.iter().map(line).collect::<Result<Vec<Value>>>().map(Value::from)
}

/// The payload's fields without the event's name, one per line.
fn says(event: &RecordedEvent) -> Result<String> {
    let payload: Value = serde_json::from_slice(&event.payload)?;
    let members = payload.as_object().into_iter().flatten().filter(|(name, _)| *name != "event");
    Ok(members.map(|(name, value)| format!("{name}: {}", words_of(value))).collect::<Vec<_>>().join("\n"))
}

/// A JSON value as text for people: strings without quotes, objects as the list of their values.
fn words_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => members.values().map(words_of).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

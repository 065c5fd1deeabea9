//! The lead funnel in GraphQL.

use chrono::{DateTime, Utc};
use crm_projections::AsOf;
use crm_projections::leads;
use face::graphql::{Context, forward, int, unreadable};
use juniper::{FieldResult, GraphQLObject};

use super::lead::{LeadSource, READ};
use crate::SERVICE;

/// How far the leads of one source have progressed. Each step counts the leads that reached it, including those that went
/// further.
#[derive(Clone, Debug, GraphQLObject)]
pub struct FunnelOfSource {
    /// The source of the leads.
    source: LeadSource,
    /// Number of leads captured.
    captured: i32,
    /// Number of these leads that were assigned.
    assigned: i32,
    /// Number of leads on which work was started.
    in_process: i32,
    /// Number of leads that were qualified.
    qualified: i32,
    /// Number of leads that were converted.
    converted: i32,
    /// Number of leads that were disqualified.
    disqualified: i32,
    /// Converted leads divided by captured leads: 0 to 1.
    conversion_rate: f64,
    /// Median number of days from capture to qualification.
    median_days_to_qualify: Option<f64>,
    /// Median number of days from capture to conversion.
    median_days_to_convert: Option<f64>,
}

const SECONDS_A_DAY: f64 = 86_400.0;

pub(crate) async fn funnel(
    context: &Context,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    as_of: AsOf,
) -> FieldResult<Vec<FunnelOfSource>> {
    context.require(READ)?;
    forward(("from", Some(from)), ("to", Some(to)))?;
    let mut tables = context.reader(SERVICE).await?;
    let sources = leads::funnel(&mut tables, context.caller().tenant(), from, to, as_of).await.map_err(unreadable)?;
    let shown = |funnel: leads::FunnelOfSource| FunnelOfSource {
        source: funnel.source.into(),
        captured: int(funnel.captured),
        assigned: int(funnel.assigned),
        in_process: int(funnel.in_process),
        qualified: int(funnel.qualified),
        converted: int(funnel.converted),
        disqualified: int(funnel.disqualified),
        // Never divides by 0: only sources with captured leads are in the list.
        conversion_rate: funnel.converted as f64 / funnel.captured as f64,
        median_days_to_qualify: funnel.seconds_to_qualify.map(|seconds| seconds / SECONDS_A_DAY),
        median_days_to_convert: funnel.seconds_to_convert.map(|seconds| seconds / SECONDS_A_DAY),
    };
    Ok(sources.into_iter().map(shown).collect())
}

//! Dry runs of policy changes, in GraphQL: which past commands a changed policy would have refused.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use eventstore::decisions::{self, Decision};
use face::graphql::{Context, Cursor, Node, PageRequest, forward, unreadable};
use juniper::{FieldResult, GraphQLObject, graphql_object};
use kernel::{Position, Service};
use user_projections::dry_run::{self, DryRun, Verdict};
use uuid::Uuid;

use super::policy_change::PolicyChange;
use super::user::User;
use crate::SERVICE;

/// The permission to run a dry run of a policy.
const READ: &str = "user:access:read";
/// The permission of each service whose commands are examined, without the service's name: the result tells who did what there.
const HISTORY: &str = "history:read";
const ORDER: &str = "POLICY_DRY_RUN";
/// Maximum number of events examined for one response, which then ends with a cursor.
const EVENTS: u32 = 50_000;
/// The number of events read at once.
const PAGE: u32 = 5_000;
/// The period that is examined by default.
const MONTH: TimeDelta = TimeDelta::days(30);

/// Result of a dry run: the commands that a changed policy would have refused.
#[derive(Clone, Debug, Default)]
pub struct PolicyDryRun {
    services: Vec<String>,
    refused: Vec<RefusedCommands>,
    examined: i32,
    otherwise: i32,
    unrecorded: i32,
    end_cursor: Option<String>,
}

/// Result of a dry run: the commands that a changed policy would have refused.
#[graphql_object(context = Context)]
impl PolicyDryRun {
    /// Services whose commands are examined: those whose history the caller may read (`<service>:history:read`).
    fn services(&self) -> &[String] {
        &self.services
    }

    /// Refused commands, grouped by subject and missing permission, ordered by the first time that each would have been refused. A page may
    /// contain none and still have an `endCursor`: the number of events examined for one page is limited, and there are more. A subject
    /// that appears on two pages is counted on both.
    fn refused(&self) -> &[RefusedCommands] {
        &self.refused
    }

    /// Number of commands examined for this page.
    fn examined(&self) -> i32 {
        self.examined
    }

    /// Number of examined commands that did not depend on roles of users or machines: background work, sign-in protocols, and commands sent
    /// with a token of the installation's key or with a link from an e-mail. A change of roles does not affect them.
    fn otherwise(&self) -> i32 {
        self.otherwise
    }

    /// Number of examined commands that are older than the recording of required permissions. It is unknown whether they would have been
    /// refused.
    fn unrecorded(&self) -> i32 {
        self.unrecorded
    }

    /// Pass it as `after`, with the same change, to get the next page; `null` if everything was examined.
    fn end_cursor(&self) -> Option<&str> {
        self.end_cursor.as_deref()
    }
}

/// Commands of one subject that would have been refused because the same permission was missing.
#[derive(Clone, Debug)]
pub struct RefusedCommands {
    subject: Uuid,
    permission: String,
    commands: i32,
    times: (DateTime<Utc>, DateTime<Utc>),
    events: Vec<EventCount>,
}

/// Number of commands by the type of event that they caused.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(name = "PolicyEventCount", context = Context)]
pub struct EventCount {
    /// Event type, such as `crm.lead.captured`.
    event: String,
    /// Number of the commands that caused it.
    commands: i32,
}

/// Commands of one subject that would have been refused because the same permission was missing.
#[graphql_object(context = Context)]
impl RefusedCommands {
    /// Id of the user or machine that sent them.
    fn subject(&self) -> Uuid {
        self.subject
    }

    /// The user; `null` for a machine.
    async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
        User::of(context, Some(self.subject)).await
    }

    /// The missing permission.
    fn permission(&self) -> &str {
        &self.permission
    }

    /// Number of commands.
    fn commands(&self) -> i32 {
        self.commands
    }

    /// When the first of them was recorded.
    fn first_at(&self) -> DateTime<Utc> {
        self.times.0
    }

    /// When the last of them was recorded.
    fn last_at(&self) -> DateTime<Utc> {
        self.times.1
    }

    /// Events that they caused.
    fn events(&self) -> &[EventCount] {
        &self.events
    }
}

/// Where a response ended: the service, the position in its log, and the end of the examined period.
type Place = (String, u64, Option<DateTime<Utc>>);

/// The response as counted so far, and the index in its `refused` of each subject and permission.
#[derive(Default)]
struct Tally {
    answer: PolicyDryRun,
    places: BTreeMap<(Uuid, String), usize>,
}

impl Tally {
    /// Counts a command by its verdict under the changed policy.
    fn count(&mut self, decision: Decision, verdict: Verdict) {
        let answer = &mut self.answer;
        answer.examined = answer.examined.saturating_add(1);
        match verdict {
            Verdict::Allowed => {}
            Verdict::Otherwise => answer.otherwise = answer.otherwise.saturating_add(1),
            Verdict::Unrecorded => answer.unrecorded = answer.unrecorded.saturating_add(1),
            Verdict::Refused(permission) => {
                if let Ok(subject) = kernel::read_uuid(&decision.actor) {
                    self.add(subject, permission, decision);
                }
            }
        }
    }

    /// Completes the response with the cursor at which it ended; none if everything was examined.
    fn until(self, end_cursor: Option<String>) -> PolicyDryRun {
        PolicyDryRun { end_cursor, ..self.answer }
    }

    fn add(&mut self, subject: Uuid, permission: String, decision: Decision) {
        let at = decision.recorded_at;
        let place = *self.places.entry((subject, permission.clone())).or_insert_with(|| {
            let events = Vec::new();
            self.answer.refused.push(RefusedCommands { subject, permission, commands: 0, times: (at, at), events });
            self.answer.refused.len() - 1
        });
        let Some(refused) = self.answer.refused.get_mut(place) else { return };
        refused.commands = refused.commands.saturating_add(1);
        refused.times = (refused.times.0.min(at), refused.times.1.max(at));
        for event in decision.events {
            match refused.events.iter_mut().find(|count| count.event == event) {
                Some(count) => count.commands = count.commands.saturating_add(1),
                None => refused.events.push(EventCount { event, commands: 1 }),
            }
        }
    }
}

pub(crate) async fn run(
    context: &Context,
    change: PolicyChange,
    (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<PolicyDryRun> {
    context.require(READ)?;
    let services = context.permitted(None, HISTORY)?;
    let request = PageRequest::<Place>::new(first, after.as_deref(), ORDER)?;
    let tenant = context.caller().tenant();
    let now: DateTime<Utc> = {
        let mut tables = context.reader(SERVICE).await?;
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *tables).await.map_err(unreadable)?
    };
    // The end of the period is the same on all pages, so the cursor contains it.
    let until = request.after.as_ref().map_or(to.or(Some(now)), |(.., until)| *until);
    // For the default of `from`, an end in the future counts as now.
    let from = from.unwrap_or_else(|| until.unwrap_or(now).min(now) - MONTH);
    forward(("from", Some(from)), ("to", until))?;
    let change = change.checked(context).await?;
    let dry_run = {
        let mut tables = context.reader(SERVICE).await?;
        DryRun::open(&mut tables, tenant, context.grants(), change, (from, until)).await.map_err(unreadable)?
    };
    let mut tally = Tally::default();
    tally.answer.services = services.iter().map(|service| service.name().to_owned()).collect();
    let mut examination = Examination { context, dry_run, tally, left: EVENTS, most: request.first as usize };
    for service in services {
        let resumed = match &request.after {
            Some((name, ..)) if service.name() < name.as_str() => continue,
            Some((name, position, _)) if service.name() == name => Some(Position(*position)),
            _ => None,
        };
        let range = positions(context, service, (from, until), resumed).await?;
        if let Some(at) = examination.examine(service, range).await? {
            return Ok(examination.tally.until(Some(cursor(service, at, until))));
        }
    }
    Ok(examination.tally.until(None))
}

/// A dry run in progress.
struct Examination<'a> {
    context: &'a Context,
    dry_run: DryRun<'a>,
    tally: Tally,
    /// How many events may still be read for this response.
    left: u32,
    /// The most [refused commands](PolicyDryRun::refused) of a response.
    most: usize,
}

impl Examination<'_> {
    /// Judges the commands of a service after a position, up to another one. Returns the position at which it ended if the response is full.
    async fn examine(
        &mut self,
        service: Service,
        (mut at, end): (Position, Position),
    ) -> FieldResult<Option<Position>> {
        let tenant = self.context.caller().tenant();
        while at < end {
            if self.left == 0 {
                return Ok(Some(at));
            }
            let limit = PAGE.min(self.left);
            let page = {
                let mut tables = self.context.reader(service).await?;
                decisions::page(&mut tables, tenant, (at, end), limit).await.map_err(unreadable)?
            };
            self.left -= limit;
            self.look_up(&page.decisions).await?;
            for decision in page.decisions {
                at = decision.position;
                let verdict =
                    self.dry_run.judge(&decision.actor, decision.permissions.as_deref(), decision.recorded_at);
                self.tally.count(decision, verdict);
                if self.tally.answer.refused.len() >= self.most {
                    return Ok(Some(at));
                }
            }
            at = if page.more { page.last } else { end };
        }
        Ok(None)
    }

    /// Looks up the roles of those who sent these commands.
    async fn look_up(&mut self, sent: &[Decision]) -> FieldResult<()> {
        let subjects: BTreeSet<Uuid> = sent.iter().filter_map(|one| kernel::read_uuid(&one.actor).ok()).collect();
        let unknown = {
            let mut tables = self.context.reader(SERVICE).await?;
            let tenant = self.context.caller().tenant();
            self.dry_run.look_up(&mut tables, tenant, subjects).await.map_err(unreadable)?
        };
        if !unknown.is_empty() {
            let role_periods = self.context.role_periods(&unknown).await?;
            self.dry_run.note(role_periods);
        }
        Ok(())
    }
}

/// The range of positions of a service's log that is examined: after the first, up to and including the second.
async fn positions(
    context: &Context,
    service: Service,
    (from, until): dry_run::Period,
    resumed: Option<Position>,
) -> FieldResult<(Position, Position)> {
    let tenant = context.caller().tenant();
    let mut tables = context.reader(service).await?;
    let begin = match resumed {
        Some(position) => position,
        None => decisions::before(&mut tables, tenant, from).await.map_err(unreadable)?,
    };
    let end = match until {
        Some(until) => decisions::before(&mut tables, tenant, until).await.map_err(unreadable)?,
        None => Position::from_i64(i64::MAX),
    };
    Ok((begin, end))
}

fn cursor(service: Service, at: Position, until: Option<DateTime<Utc>>) -> String {
    let place: Place = (service.name().to_owned(), at.0, until);
    Cursor::new(ORDER, &place).into_string()
}

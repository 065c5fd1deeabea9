//! What a change of policy would have meant for what was done, in GraphQL.

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

/// What one needs to ask.
const READ: &str = "user:access:read";
const ORDER: &str = "POLICY_DRY_RUN";
/// How many events of logs are looked at for one answer; then it is given, with where it ended.
const EVENTS: u32 = 50_000;
/// How many of them in one go.
const PAGE: u32 = 5_000;
/// What is looked at when nobody says from when.
const MONTH: TimeDelta = TimeDelta::days(30);

/// What would have been refused.
#[derive(Clone, Debug, Default)]
pub struct PolicyDryRun {
    refused: Vec<RefusedCommands>,
    examined: i32,
    otherwise: i32,
    unrecorded: i32,
    end_cursor: Option<String>,
}

/// What would have been refused.
#[graphql_object(context = Context)]
impl PolicyDryRun {
    /// Who would have been refused what, in the order in which it would have happened first. There may be a page without any that has an
    /// `endCursor`: so much was looked at, and more is there. Who is on two pages counts on both.
    fn refused(&self) -> &[RefusedCommands] {
        &self.refused
    }

    /// How many commands were looked at for this page.
    fn examined(&self) -> i32 {
        self.examined
    }

    /// How many of them did not rest on roles of users or machines: what runs by itself, what the protocols of signing in do, what was
    /// done with tokens of the installation's key, or with a link. A change of roles is nothing to them.
    fn otherwise(&self) -> i32 {
        self.otherwise
    }

    /// How many of them are of before it was kept what a command needs: what would have become of them is not known.
    fn unrecorded(&self) -> i32 {
        self.unrecorded
    }

    /// Give it as `after`, with the same change, to go on from here; `null`: all was looked at.
    fn end_cursor(&self) -> Option<&str> {
        self.end_cursor.as_deref()
    }
}

/// Commands of somebody that would have been refused for want of the same permission.
#[derive(Clone, Debug)]
pub struct RefusedCommands {
    subject: Uuid,
    permission: String,
    commands: i32,
    times: (DateTime<Utc>, DateTime<Utc>),
    events: Vec<EventCount>,
}

/// What came of commands.
#[derive(Clone, Debug, GraphQLObject)]
#[graphql(name = "PolicyEventCount", context = Context)]
pub struct EventCount {
    /// The event, such as `crm.lead.captured`.
    event: String,
    /// Of how many of the commands.
    commands: i32,
}

/// Commands of somebody that would have been refused for want of the same permission.
#[graphql_object(context = Context)]
impl RefusedCommands {
    /// Who gave them: a user or a machine.
    fn subject(&self) -> Uuid {
        self.subject
    }

    /// The same, if it is a user.
    async fn user(&self, context: &Context) -> FieldResult<Option<User>> {
        User::of(context, Some(self.subject)).await
    }

    /// What they would have lacked.
    fn permission(&self) -> &str {
        &self.permission
    }

    /// How many there were.
    fn commands(&self) -> i32 {
        self.commands
    }

    /// When the log took the first.
    fn first_at(&self) -> DateTime<Utc> {
        self.times.0
    }

    /// When the log took the last.
    fn last_at(&self) -> DateTime<Utc> {
        self.times.1
    }

    /// What had come of them.
    fn events(&self) -> &[EventCount] {
        &self.events
    }
}

/// Where an answer ended: in the log of which service, after which position; and until when it looks.
type Place = (String, u64, Option<DateTime<Utc>>);

/// An answer as far as it goes, and where in it stands who would have been refused what.
#[derive(Default)]
struct Tally {
    answer: PolicyDryRun,
    places: BTreeMap<(Uuid, String), usize>,
}

impl Tally {
    /// Counts a command by what would have become of it.
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

    /// The answer, with where it ended; none: all was looked at.
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
    let request = PageRequest::<Place>::new(first, after.as_deref(), ORDER)?;
    let tenant = context.caller().tenant();
    let now: DateTime<Utc> = {
        let mut tables = context.reader(SERVICE).await?;
        sqlx::query_scalar("SELECT now()").fetch_one(&mut *tables).await.map_err(unreadable)?
    };
    // The end is the same on all pages.
    let until = request.after.as_ref().map_or(to.or(Some(now)), |(.., until)| *until);
    // Up to a time that has not come yet is up to now.
    let from = from.unwrap_or_else(|| until.unwrap_or(now).min(now) - MONTH);
    forward(("from", Some(from)), ("to", until))?;
    let change = change.checked(context).await?;
    let mut dry_run = {
        let mut tables = context.reader(SERVICE).await?;
        DryRun::open(&mut tables, tenant, context.grants(), change, (from, until)).await.map_err(unreadable)?
    };
    let (begun, mut left, mut tally) = (request.after, EVENTS, Tally::default());
    for service in context.services() {
        let resumed = match &begun {
            Some((name, ..)) if service.name() < name.as_str() => continue,
            Some((name, position, _)) if service.name() == name => Some(Position(*position)),
            _ => None,
        };
        let (mut at, end) = stretch(context, service, (from, until), resumed).await?;
        while at < end {
            if left == 0 {
                return Ok(tally.until(Some(cursor(service, at, until))));
            }
            let limit = PAGE.min(left);
            let page = {
                let mut tables = context.reader(service).await?;
                decisions::page(&mut tables, tenant, (at, end), limit).await.map_err(unreadable)?
            };
            left -= limit;
            let subjects: BTreeSet<Uuid> =
                page.decisions.iter().filter_map(|decision| kernel::read_uuid(&decision.actor).ok()).collect();
            let unknown = {
                let mut tables = context.reader(SERVICE).await?;
                dry_run.look_up(&mut tables, tenant, subjects).await.map_err(unreadable)?
            };
            if !unknown.is_empty() {
                dry_run.note(context.role_periods(&unknown).await?);
            }
            for decision in page.decisions {
                at = decision.position;
                let verdict = dry_run.judge(&decision.actor, decision.permissions.as_deref(), decision.recorded_at);
                tally.count(decision, verdict);
                if tally.answer.refused.len() >= request.first as usize {
                    return Ok(tally.until(Some(cursor(service, at, until))));
                }
            }
            at = if page.more { page.last } else { end };
        }
    }
    Ok(tally.until(None))
}

/// After which position of a service's log it begins, and with which it ends.
async fn stretch(
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

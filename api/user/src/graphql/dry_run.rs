//! What a change of policy would have meant for what was done, in GraphQL.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use eventstore::decisions::{self, Decision};
use face::graphql::{Context, Cursor, PageRequest, forward, refuse, unreadable};
use juniper::{FieldResult, GraphQLInputObject, GraphQLObject, graphql_object};
use kernel::{Position, Refusal, Role, Service, UserId};
use sqlx::types::Json;
use user_commands::lengths;
use user_projections::dry_run::{self, Definition, DryRun, Verdict};
use user_projections::{groups, roles};
use uuid::Uuid;

use super::user::User;
use crate::SERVICE;

/// What one needs to ask.
const READ: &str = "user:access:read";
const ORDER: &str = "POLICY_DRY_RUN";
/// How many events of logs are looked at for one answer; then it is given, with where it ended.
const EVENTS: u32 = 50_000;
/// How many of them in one go.
const PAGE: u32 = 5_000;
/// How many roles, groups and subjects a change may name, of each.
const MOST: usize = 100;
/// What is looked at when nobody says from when.
const MONTH: TimeDelta = TimeDelta::days(30);

/// A change of policy. What it does not name stays as it was at each time.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyChange {
    /// What roles would allow: those that there are, or new ones. Built-in ones can't be changed.
    roles: Option<Vec<PolicyRole>>,
    /// Which roles groups would give.
    groups: Option<Vec<PolicyGroup>>,
    /// Which roles users and machines would have of their own.
    subjects: Option<Vec<PolicySubject>>,
}

/// What a role would allow: this is all of it.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyRole {
    /// Its name.
    name: String,
    /// What it allows by itself.
    permissions: Option<Vec<String>>,
    /// The roles whose permissions it has besides.
    includes: Option<Vec<String>>,
    /// Whether it allows nothing any more.
    retired: Option<bool>,
}

/// The roles that a group would give.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicyGroup {
    /// Which group.
    id: Uuid,
    /// All roles that it gives.
    roles: Vec<String>,
}

/// The roles that somebody would have of their own.
#[derive(Clone, Debug, GraphQLInputObject)]
pub struct PolicySubject {
    /// A user or a machine.
    id: Uuid,
    /// All roles of their own. What groups give a user stays.
    roles: Vec<String>,
}

/// What would have been refused.
#[derive(Clone, Debug, Default)]
pub struct PolicyDryRun {
    refused: Vec<RefusedCommands>,
    examined: i32,
    otherwise: i32,
    unrecorded: i32,
    end_cursor: Option<String>,
}

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

/// Those who would have been refused something, by what and whom.
#[derive(Default)]
struct Tally {
    places: BTreeMap<(Uuid, String), usize>,
    found: Vec<RefusedCommands>,
}

impl Tally {
    fn add(&mut self, subject: Uuid, permission: String, decision: Decision) {
        let at = decision.recorded_at;
        let place = *self.places.entry((subject, permission.clone())).or_insert_with(|| {
            self.found.push(RefusedCommands { subject, permission, commands: 0, times: (at, at), events: Vec::new() });
            self.found.len() - 1
        });
        let Some(refused) = self.found.get_mut(place) else { return };
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
    let from = from.unwrap_or_else(|| until.unwrap_or(now) - MONTH);
    forward(("from", Some(from)), ("to", until))?;
    let change = checked(context, change).await?;
    let mut dry_run = {
        let mut tables = context.reader(SERVICE).await?;
        DryRun::open(&mut tables, tenant, context.grants(), change, (from, until)).await.map_err(unreadable)?
    };
    let (mut answer, mut tally) = (PolicyDryRun::default(), Tally::default());
    let (begun, mut left) = (request.after, EVENTS);
    for service in context.services() {
        let resumed = match &begun {
            Some((name, ..)) if service.name() < name.as_str() => continue,
            Some((name, position, _)) if service.name() == name => Some(Position(*position)),
            _ => None,
        };
        let (mut at, end) = stretch(context, service, (from, until), resumed).await?;
        while at < end {
            if left == 0 {
                answer.end_cursor = Some(cursor(service, at, until));
                answer.refused = tally.found;
                return Ok(answer);
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
                dry_run.note(context.stints(&unknown).await?);
            }
            for decision in page.decisions {
                at = decision.position;
                answer.examined = answer.examined.saturating_add(1);
                match dry_run.judge(&decision.actor, decision.permissions.as_deref(), decision.recorded_at) {
                    Verdict::Allowed => {}
                    Verdict::Otherwise => answer.otherwise = answer.otherwise.saturating_add(1),
                    Verdict::Unrecorded => answer.unrecorded = answer.unrecorded.saturating_add(1),
                    Verdict::Refused(permission) => {
                        if let Ok(subject) = kernel::read_uuid(&decision.actor) {
                            tally.add(subject, permission, decision);
                        }
                    }
                }
                if tally.found.len() >= request.first as usize {
                    answer.end_cursor = Some(cursor(service, at, until));
                    answer.refused = tally.found;
                    return Ok(answer);
                }
            }
            at = if page.more { page.last } else { end };
        }
    }
    answer.refused = tally.found;
    Ok(answer)
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

/// The change as it is held against what was done. What could not be changed so is refused as the change would be.
async fn checked(context: &Context, change: PolicyChange) -> FieldResult<dry_run::PolicyChange> {
    let PolicyChange { roles: changed, groups: given, subjects } = change;
    let (changed, given) = (changed.unwrap_or_default(), given.unwrap_or_default());
    let subjects = subjects.unwrap_or_default();
    for (what, count) in [("roles", changed.len()), ("groups", given.len()), ("subjects", subjects.len())] {
        if count > MOST {
            let detail = format!("change.{what} has {count} of them; allowed are {MOST}");
            return Err(refuse(Refusal::invalid("too_many", detail).with("argument", format!("change.{what}"))));
        }
    }
    let mut found = dry_run::PolicyChange::default();
    for (place, role) in changed.into_iter().enumerate() {
        let place = format!("change.roles.{place}");
        let (name, definition) = defined(context, &place, role)?;
        if found.roles.insert(name.clone(), definition).is_some() {
            return Err(unknown(&place, "named_twice", format!("the role {name} is named twice")));
        }
    }
    let known = known_roles(context, &found).await?;
    circular(&found, &known)?;
    for (place, group) in given.into_iter().enumerate() {
        let place = format!("change.groups.{place}");
        found.groups.insert(group.id, existing(&place, group.roles, &known)?);
    }
    for (place, subject) in subjects.into_iter().enumerate() {
        let place = format!("change.subjects.{place}");
        found.subjects.insert(subject.id, existing(&place, subject.roles, &known)?);
    }
    there(context, &found).await?;
    Ok(found)
}

/// What a role of the change allows, and its name.
fn defined(context: &Context, place: &str, role: PolicyRole) -> FieldResult<(String, Option<Definition>)> {
    let PolicyRole { name, permissions, includes, retired } = role;
    if name.parse::<Role>().is_ok() {
        let detail = format!("the role {name} is built in; what it allows can't be changed");
        return Err(unknown(place, "built_in", detail));
    }
    if !Role::is_name(&name) {
        let detail = "a role's name has 2 to 50 lower-case letters, digits and _, a letter first";
        return Err(unknown(place, "not_a_role_name", detail.to_owned()));
    }
    let (permissions, includes) = (permissions.unwrap_or_default(), includes.unwrap_or_default());
    if permissions.len() > lengths::PERMISSIONS || includes.len() > lengths::ROLES {
        let detail = format!(
            "{place} has {} permissions and includes {} roles; allowed are {} and {}",
            permissions.len(),
            includes.len(),
            lengths::PERMISSIONS,
            lengths::ROLES
        );
        return Err(unknown(place, "too_many", detail));
    }
    let is_one =
        |name: &String| context.grants().iter().any(|grant| grant.permission == name && !grant.roles.is_empty());
    if let Some(none) = permissions.iter().find(|name| !is_one(name)) {
        let detail = format!("there is no permission {none:?}; `GET /v1/user/permissions` lists those that there are");
        return Err(unknown(place, "permission_unknown", detail));
    }
    let allows =
        Definition { permissions: permissions.into_iter().collect(), includes: includes.into_iter().collect() };
    Ok((name, (!retired.unwrap_or_default()).then_some(allows)))
}

/// All roles that there would be, with what they include.
async fn known_roles(
    context: &Context,
    change: &dry_run::PolicyChange,
) -> FieldResult<BTreeMap<String, BTreeSet<String>>> {
    let rows = {
        let mut tables = context.reader(SERVICE).await?;
        roles::list(&mut tables, context.caller().tenant()).await.map_err(unreadable)?
    };
    let there = rows.into_iter().filter(|role| !role.retired && !change.roles.contains_key(&role.name));
    let there = there.map(|role| {
        let Json(includes) = role.includes;
        (role.name, includes)
    });
    let built_in = Role::ALL.map(|role| (role.as_str().to_owned(), BTreeSet::new()));
    let new = change.roles.iter().filter_map(|(name, role)| Some((name.clone(), role.as_ref()?.includes.clone())));
    Ok(there.chain(built_in).chain(new).collect())
}

/// Refuses a role that would include what there would not be, or itself.
fn circular(change: &dry_run::PolicyChange, known: &BTreeMap<String, BTreeSet<String>>) -> FieldResult<()> {
    for (name, definition) in &change.roles {
        let place = format!("change.roles ({name})");
        let includes = definition.iter().flat_map(|definition| definition.includes.iter().cloned()).collect::<Vec<_>>();
        let mut open: Vec<String> = existing(&place, includes, known)?.into_iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if next == *name {
                return Err(unknown(&place, "circular", format!("the role {name} would include itself")));
            }
            if let Some(further) = known.get(&next).filter(|_| seen.insert(next.clone())) {
                open.extend(further.iter().cloned());
            }
        }
    }
    Ok(())
}

/// These roles, each of which there would be.
fn existing(
    place: &str,
    names: Vec<String>,
    known: &BTreeMap<String, BTreeSet<String>>,
) -> FieldResult<BTreeSet<String>> {
    if names.len() > lengths::ROLES {
        let detail = format!("{place} has {} roles; allowed are {}", names.len(), lengths::ROLES);
        return Err(unknown(place, "too_many", detail));
    }
    if let Some(none) = names.iter().find(|name| !known.contains_key(*name)) {
        let detail = format!("there is no role {none:?}, and the change does not define one");
        return Err(unknown(place, "role_unknown", detail));
    }
    Ok(names.into_iter().collect())
}

/// Refuses a group, user or machine that there is not.
async fn there(context: &Context, change: &dry_run::PolicyChange) -> FieldResult<()> {
    let tenant = context.caller().tenant();
    let wanted: Vec<Uuid> = change.groups.keys().copied().collect();
    let ids: Vec<UserId> = change.subjects.keys().copied().map(UserId::new).collect();
    let (groups, people) = {
        let mut tables = context.reader(SERVICE).await?;
        let groups = groups::find(&mut tables, tenant, &wanted).await.map_err(unreadable)?;
        let ids: Vec<Uuid> = ids.into_iter().map(UserId::uuid).collect();
        (groups, user_projections::people::find(&mut tables, tenant, &ids).await.map_err(unreadable)?)
    };
    let groups: BTreeSet<Uuid> = groups.into_iter().map(|row| row.group_id).collect();
    if let Some(none) = wanted.iter().find(|group| !groups.contains(*group)) {
        return Err(unknown("change.groups", "not_found", format!("there is no group {none}")));
    }
    let people: BTreeSet<Uuid> = people.into_iter().map(|row| row.user_id).collect();
    let others: Vec<Uuid> = change.subjects.keys().filter(|subject| !people.contains(*subject)).copied().collect();
    let machines: BTreeSet<Uuid> = match others.as_slice() {
        [] => BTreeSet::new(),
        others => context.stints(others).await?.into_iter().map(|stint| stint.subject).collect(),
    };
    if let Some(none) = others.iter().find(|subject| !machines.contains(*subject)) {
        return Err(unknown("change.subjects", "not_found", format!("there is no user or machine {none}")));
    }
    Ok(())
}

fn unknown(place: &str, code: &'static str, detail: String) -> juniper::FieldError {
    refuse(Refusal::invalid(code, detail).with("argument", place))
}

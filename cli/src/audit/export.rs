//! `inopsio audit export`: writes a tenant's history, or a part of it, to a file that `inopsio audit check` verifies offline.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use eventstore::EventStore;
use eventstore::backup::StoredEvent;
use eventstore::seals::{self, SealedBy, Seen};
use kernel::{LeafHash, Leaves, TenantId, UserId};

use super::document::{End, Entry, FORM, Head, Line};
use super::trusted;
use crate::context::{self, Context};
use crate::selection::{check_id, check_span, check_types, check_user, has_id};
use crate::sink::Sink;
use crate::{output, progress, time};

/// Aggregate types whose events record sign-ins (who, from where, by which method) and denied requests.
const SIGN_INS: [&str; 3] = ["auth.account", "auth.session", "auth.sign_in"];

/// Exports a tenant's history to a file that proves itself; `inopsio audit check` checks it without a server
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  inopsio audit export --tenant demo --service crm --output crm.ndjson
  inopsio audit export --tenant demo --sign-ins --output sign-ins.ndjson
  inopsio audit export --tenant demo --sign-ins --user 0197a8a0-0000-7000-8000-000000000001 --output ada.ndjson
  inopsio audit export --tenant demo --service crm --event crm.lead.converted --recorded-from 2026-01-01 --output conversions.ndjson

A whole history also proves that nothing is missing, up to the last seal. In a part of it, each event has its path to a signed tree head.
Personal data stays as it is stored: encrypted. Times are RFC 3339 or a date (midnight UTC).")]
pub struct Export {
    /// The tenant: its name or id
    #[arg(long)]
    tenant: String,
    /// The service whose log is exported
    #[arg(long, required_unless_present = "sign_ins")]
    service: Option<String>,
    /// Exports sign-ins: who signed in, from where and how, and who was refused
    #[arg(long, conflicts_with_all = ["service", "event_type", "aggregate_type", "aggregate_id"])]
    sign_ins: bool,
    /// With --sign-ins: only those of this user
    // Beside what conflicts with --sign-ins clap does not require it, so each of these is excluded here, too.
    #[arg(long, value_name = "ID", requires = "sign_ins", conflicts_with_all = ["service", "event_type", "aggregate_type"])]
    user: Option<UserId>,
    /// Only events of this type, such as crm.lead.qualified
    #[arg(long = "event", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only aggregates of this type, such as crm.lead
    #[arg(long = "aggregate", value_name = "TYPE")]
    aggregate_type: Option<String>,
    /// Only the aggregate with this id
    #[arg(long = "id", value_name = "ID", requires = "aggregate_type", value_parser = crate::selection::id())]
    aggregate_id: Option<String>,
    /// Only events recorded at this time or later
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    recorded_from: Option<DateTime<Utc>>,
    /// Only events recorded before this time
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    recorded_until: Option<DateTime<Utc>>,
    /// Writes to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A file with public keys that signed earlier, as PEM
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
}

impl Export {
    /// Runs the command.
    pub async fn run(self, context: &Context) -> Result<()> {
        check_span("recorded", self.recorded_from, self.recorded_until)?;
        let name = if self.sign_ins { "auth" } else { self.service.as_deref().unwrap_or_default() };
        let service = match context::services(Some(name))?.as_slice() {
            [service] => *service,
            _ => bail!("say which service's history with --service"),
        };
        check_types(&[service], self.aggregate_type.as_deref(), self.event_type.as_deref())?;
        let tenant = context.tenant_or_deleted(&self.tenant).await?;
        let trusted = trusted::here(&context.config, &self.key)?;
        let store = context.store(service).await?;
        self.check_ids(context, &store, tenant).await?;
        let mut sink = Sink::open(self.output.as_deref())?;
        let written = if self.is_whole() {
            self.whole(&store, tenant, trusted, &mut sink).await
        } else {
            self.part(&store, tenant, trusted, &mut sink).await
        };
        store.close().await;
        let written = written.with_context(|| format!("the history of {} in {service}", self.tenant))?;
        sink.finish()?;
        output::tell(format!("{written} events: {}", self.of()));
        Ok(())
    }

    /// Checks that the aggregate and the user that the options name exist in the tenant.
    async fn check_ids(&self, context: &Context, store: &EventStore, tenant: TenantId) -> Result<()> {
        let named = (self.tenant.as_str(), tenant);
        if let Some(id) = &self.aggregate_id {
            check_id(named, &[store], self.aggregate_type.as_deref(), id).await?;
        }
        if let Some(user) = self.user
            // Who signed in has events here; who never did is known to the `user` service only.
            && !has_id(tenant, store, None, &user.to_string()).await?
        {
            check_user(context, named, user).await?;
        }
        Ok(())
    }

    fn is_whole(&self) -> bool {
        !self.sign_ins
            && [&self.event_type, &self.aggregate_type].iter().all(|filter| filter.is_none())
            && self.recorded_from.is_none()
            && self.recorded_until.is_none()
    }

    /// A description of the selection, for people.
    fn of(&self) -> String {
        let mut words = Vec::new();
        match (&self.event_type, &self.aggregate_type, &self.aggregate_id, self.sign_ins) {
            (_, _, _, true) => words.push("sign-ins".to_owned()),
            (None, None, ..) => words.push("all events".to_owned()),
            (event, aggregate, id, _) => words.extend(
                [("events", event), ("aggregate", aggregate), ("id", id)]
                    .into_iter()
                    .filter_map(|(what, name)| name.as_ref().map(|name| format!("{what} {name}"))),
            ),
        }
        words.extend(self.user.map(|user| format!("of user {user}")));
        words.extend(self.recorded_from.map(|from| format!("recorded from {}", kernel::write_time(from))));
        words.extend(self.recorded_until.map(|until| format!("recorded before {}", kernel::write_time(until))));
        words.join(", ")
    }

    fn head(&self, store: &EventStore, tenant: TenantId, whole: bool) -> Line {
        let service = store.service().name().to_owned();
        Line::Head(Head { inopsio_history: FORM, tenant: tenant.uuid(), service, whole, of: self.of() })
    }

    /// Writes all events and seals in one pass, each as soon as it is verified. Returns the number of events.
    async fn whole(
        &self,
        store: &EventStore,
        tenant: TenantId,
        trusted: Vec<SealedBy>,
        sink: &mut Sink,
    ) -> Result<u64> {
        line(sink, &self.head(store, tenant, true))?;
        let bar = progress::bar(store.count(tenant, &eventstore::ReplayFilter::default()).await?, "events");
        let mut outcome = Ok(());
        let verdict = seals::verify(store, tenant, trusted, &[], |seen| {
            if outcome.is_ok() {
                outcome = match seen {
                    Seen::Seal(seal) => line(sink, &Line::Seal(seal.clone())),
                    Seen::Event(number, event) => {
                        bar.inc(1);
                        entry(number, event, None).and_then(|entry| line(sink, &entry))
                    }
                };
            }
        })
        .await?;
        bar.finish_and_clear();
        outcome?;
        if verdict.last.is_none() {
            output::tell(format!("this file proves nothing: {}", without_seal(verdict.events)));
        }
        line(sink, &Line::End(End { events: verdict.events }))?;
        Ok(verdict.events)
    }

    /// Writes the selected events up to the last seal, each with its inclusion proof. Returns their number.
    async fn part(&self, store: &EventStore, tenant: TenantId, trusted: Vec<SealedBy>, sink: &mut Sink) -> Result<u64> {
        let bar = progress::bar(store.count(tenant, &eventstore::ReplayFilter::default()).await?, "events");
        let (mut leaves, mut chosen, mut sessions) = (Vec::<LeafHash>::new(), Vec::new(), HashSet::new());
        let verdict = seals::verify(store, tenant, trusted, &[], |seen| {
            if let Seen::Event(number, event) = seen {
                bar.inc(1);
                leaves.push(event.leaf_hash);
                if self.wants(event, &mut sessions) {
                    chosen.push((number, event.clone()));
                }
            }
        })
        .await?;
        bar.finish_and_clear();
        let seal = verdict.last.context(without_seal(verdict.events))?;
        let size = usize::try_from(seal.size)?;
        leaves.truncate(size);
        let tree = Leaves::new(leaves);
        line(sink, &self.head(store, tenant, false))?;
        line(sink, &Line::Seal(seal.clone()))?;
        let mut events = 0;
        for (number, event) in chosen.iter().filter(|(number, _)| *number <= seal.size) {
            line(sink, &entry(*number, event, Some(tree.path(usize::try_from(number - 1)?)))?)?;
            events += 1;
        }
        line(sink, &Line::End(End { events }))?;
        Ok(events)
    }

    /// Whether an event is selected. `sessions` collects the ids of the user's sessions that have started so far.
    fn wants(&self, StoredEvent { event, .. }: &StoredEvent, sessions: &mut HashSet<String>) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        if self.recorded_from.is_some_and(|from| event.recorded_at < from)
            || self.recorded_until.is_some_and(|until| event.recorded_at >= until)
            || !is(&self.event_type, &event.event_type)
            || !is(&self.aggregate_type, &event.aggregate_type)
            || !is(&self.aggregate_id, &event.aggregate_id)
        {
            // Also record sessions that began before the selected time span: their later events belong to the user too.
            self.is_users_session(event, sessions);
            return false;
        }
        if !self.sign_ins {
            return true;
        }
        SIGN_INS.contains(&event.aggregate_type.as_str())
            && self.user.is_none_or(|user| {
                self.is_users_session(event, sessions)
                    || event.aggregate_type == "auth.account" && event.aggregate_id == user.to_string()
                    || is_about(event, user)
            })
    }

    fn is_users_session(&self, event: &kernel::RecordedEvent, sessions: &mut HashSet<String>) -> bool {
        let Some(user) = self.user.filter(|_| event.aggregate_type == "auth.session") else { return false };
        if is_about(event, user) {
            sessions.insert(event.aggregate_id.clone());
        }
        sessions.contains(&event.aggregate_id)
    }
}

/// Why a history with this many events has no seal.
const fn without_seal(events: u64) -> &'static str {
    match events {
        0 => "it has no events",
        _ => "nothing of it is sealed yet: is `inopsio serve` running with audit.seal_key?",
    }
}

/// Whether the event's payload names this user in its field `user`.
fn is_about(event: &kernel::RecordedEvent, user: UserId) -> bool {
    #[derive(serde::Deserialize)]
    struct About {
        #[serde(default)]
        user: Option<UserId>,
    }
    serde_json::from_slice::<About>(&event.payload).is_ok_and(|about| about.user == Some(user))
}

fn entry(number: u64, event: &StoredEvent, path: Option<Vec<LeafHash>>) -> Result<Line> {
    let entry = Entry::of(number, &event.event, path);
    let entry = entry.with_context(|| format!("event {number} is stored in a form that does not fit in a line"))?;
    Ok(Line::Event(Box::new(entry)))
}

fn line(sink: &mut Sink, line: &Line) -> Result<()> {
    serde_json::to_writer(&mut sink.buffer, line)?;
    sink.buffer.push(b'\n');
    sink.write_if_full()
}

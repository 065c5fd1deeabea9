//! Turns an attempt into an append: sets the times of its events, adds metadata, and hashes claims.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::{Append, Claim, CommandRecord, NewEvent, StreamAppend};
use kernel::{EventMetadata, IdSource, Refusal};

use crate::claim::ClaimHasher;
use crate::work::{Stream, Work};
use crate::{Request, refused, time};

/// Sets the time of each changed stream's events: the stream's own, otherwise the time that the caller names, otherwise now, but not
/// earlier than the stream's last event.
pub(crate) fn settle_times(work: &mut Work<'_>) -> Result<(), Refusal> {
    let said = work.request.occurred_at.is_some();
    let mut common = work.occurred_at();
    for stream in changed(&work.streams).filter(|stream| stream.expected > 0) {
        let last = stream.baseline.occurred_at;
        match stream.occurred_at {
            Some(own) => time::in_order(own, last, stream.aggregate_type)?,
            None if said => time::in_order(common, last, stream.aggregate_type)?,
            None => common = common.max(last),
        }
    }
    for stream in work.streams.iter_mut().filter(|stream| !stream.events.is_empty()) {
        stream.baseline.occurred_at = stream.occurred_at.unwrap_or(common);
        if stream.expected == 0 {
            stream.baseline.began_at = Some(stream.baseline.occurred_at);
        }
    }
    Ok(())
}

/// Builds the append of an attempt. `permission` is the command's permission, for the metadata; `answer` is JSON.
///
/// It also includes, without events, the streams that got a command but did not change, because "nothing to do" is true of that version
/// only, and the streams on which the command relied. The payloads are moved out of `work`.
pub(crate) fn append(
    work: &mut Work<'_>,
    permission: &str,
    command_id: &str,
    answer: String,
    ids: &dyn IdSource,
    hasher: &ClaimHasher,
) -> Result<Append, Refusal> {
    let tenant = work.caller().tenant();
    let permissions = permissions(work, permission);
    let mut metadata = Metadata { request: work.request, permissions, command_id, last: None };
    let missing: Vec<_> = work.missing().cloned().collect();
    let mut streams = Vec::with_capacity(work.streams.len() + missing.len());
    for stream in work.streams.iter_mut().filter(|stream| stream.is_required()) {
        let mut events = Vec::with_capacity(stream.events.len());
        for event in &mut stream.events {
            events.push(NewEvent {
                event_id: ids.next(),
                event_type: event.event_type,
                event_version: event.event_version,
                payload: std::mem::take(&mut event.payload),
                metadata: metadata.at(stream.baseline.occurred_at)?,
                occurred_at: stream.baseline.occurred_at,
            });
        }
        streams.push(StreamAppend {
            aggregate_type: stream.aggregate_type,
            aggregate_id: stream.id.clone(),
            expected: stream.expected,
            events,
        });
    }
    streams.extend(missing.into_iter().map(|(aggregate_type, aggregate_id)| StreamAppend {
        aggregate_type,
        aggregate_id,
        expected: 0,
        events: Vec::new(),
    }));
    let claims = work.claims.iter().map(|claim| Claim {
        kind: claim.kind.name,
        key: hasher.hash(tenant, claim.kind.name, &claim.value),
        holder: claim.holder.clone(),
        act: claim.act,
    });
    let command = CommandRecord { id: command_id.to_owned(), request_hash: work.request.request_hash, answer };
    Ok(Append { tenant, command, streams, claims: claims.collect() })
}

/// All permissions that the attempt needed, separated by spaces.
fn permissions(work: &Work<'_>, permission: &str) -> String {
    let backdated =
        work.request.occurred_at.is_some() || work.streams.iter().any(|stream| stream.occurred_at.is_some());
    if backdated { format!("{permission} {}", time::backdate(work.service)) } else { permission.to_owned() }
}

fn changed(streams: &[Stream]) -> impl Iterator<Item = &Stream> {
    streams.iter().filter(|stream| !stream.events.is_empty())
}

/// Builds event metadata as JSON. Consecutive events with the same time share one text.
struct Metadata<'a> {
    request: &'a Request,
    permissions: String,
    command_id: &'a str,
    last: Option<(DateTime<Utc>, Arc<str>)>,
}

impl Metadata<'_> {
    fn at(&mut self, occurred_at: DateTime<Utc>) -> Result<Arc<str>, Refusal> {
        if let Some((at, written)) = &self.last
            && *at == occurred_at
        {
            return Ok(Arc::clone(written));
        }
        let request = self.request;
        let metadata = EventMetadata {
            actor: request.caller.subject().to_owned(),
            command_id: self.command_id.to_owned(),
            correlation_id: request.correlation_id,
            causation_id: request.causation_id,
            occurred_at,
            permissions: Some(self.permissions.clone()),
            traceparent: request.traceparent.clone(),
        };
        let written: Arc<str> = serde_json::to_string(&metadata).map_err(|error| refused::by_json(&error))?.into();
        self.last = Some((occurred_at, Arc::clone(&written)));
        Ok(written)
    }
}

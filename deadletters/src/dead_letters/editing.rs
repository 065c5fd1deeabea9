//! Editing the payload that a consumer sees, and previewing the result.

use eventstore::log_unreadable;
use kernel::{Caller, Refusal, TenantId};
use serde_json::Value;
use sqlx::PgConnection;

use super::{DeadLetters, Decision, Done, Request, unavailable, unknown};
use crate::decisions::{self, Verdict};
use crate::{DecisionKind, DryRunResult, Letter, LetterId, idempotency};

/// The maximum number of events behind a letter that are included in a dry run.
const DRY_RUN_EVENTS: u32 = 200;
/// The maximum size in bytes, as for payloads in the log.
const LONGEST_PAYLOAD: usize = 256 << 10;

impl DeadLetters {
    /// A dry run of a letter with this payload, or with the one that its consumer sees now.
    ///
    /// # Errors
    /// As for [`edit`](Self::edit), except that a payload with which processing fails is not an error, but the result. The permission to view
    /// letters is needed, too, because the result shows the payload. Nothing is changed, so [other permissions](Self::restrict_changes_to)
    /// are not.
    pub async fn preview(&self, caller: &Caller, id: &LetterId, payload: Option<&Value>) -> Result<Preview, Refusal> {
        caller.require(self.inner.write)?;
        caller.require(self.inner.read)?;
        let mut transaction = self.begin(caller.tenant()).await?;
        let letter = self.parked(&mut transaction, caller.tenant(), id, false).await?;
        self.dry_run(&mut transaction, caller.tenant(), &letter, payload).await
    }

    /// Edits a parked letter: its consumer sees this payload instead of the log's. It is tried again at once.
    ///
    /// # Errors
    /// The permission is missing; `exceeds_own_permissions`; `not_found`; `validation_failed`; `dead_letter_waiting`, `dead_letter_over`,
    /// `dead_letter_discarded`; `dead_letter_edit_fails`: processing would fail with this payload, too. Nothing was written then.
    pub async fn edit(
        &self,
        request: &Request,
        id: &LetterId,
        payload: &Value,
        reason: &str,
    ) -> Result<(Done, Preview), Refusal> {
        self.authorize_changes(&request.caller)?;
        let tenant = request.caller.tenant();
        let mut transaction = self.begin(tenant).await?;
        let letter = self.parked(&mut transaction, tenant, id, false).await;
        let before = idempotency::first_answer(&mut transaction, request).await?;
        let letter = match (letter, before) {
            (_, Some(letters)) => return Ok((Done { letters, repeated: true }, Preview::default())),
            (letter, None) => letter?,
        };
        self.authorize_change_of(&request.caller, &letter)?;
        let preview = self.dry_run(&mut transaction, tenant, &letter, Some(payload)).await?;
        transaction.rollback().await.map_err(unavailable)?;
        if let Some(errors) = preview.why_not() {
            let detail = format!("the event can't be processed with this payload either: {}", errors.join(": "));
            return Err(Refusal::unprocessable("dead_letter_edit_fails", detail).with("reasons", errors));
        }
        let (before, after) = self.kept(tenant, id, payload).await?;
        let decision = Decision { kind: DecisionKind::Edit, reason, payloads: Some((&before, &after)) };
        Ok((self.decide(request, id, &decision).await?, preview))
    }

    async fn dry_run(
        &self,
        tables: &mut PgConnection,
        tenant: TenantId,
        letter: &Letter,
        payload: Option<&Value>,
    ) -> Result<Preview, Refusal> {
        let id = &letter.id;
        let mut positions = vec![id.position];
        positions.extend(letter.behind(tables, tenant, DRY_RUN_EVENTS).await.map_err(unavailable)?);
        let numbers: Vec<i64> = positions.iter().map(|at| at.as_i64()).collect();
        let decisions = decisions::of(tables, tenant, &id.consumer, &numbers).await.map_err(unavailable)?;
        let events = self.events(tenant, &positions).await?;
        let decisions = decisions.opened(&self.inner.store, &events).await.map_err(|error| log_unreadable(&error))?;
        let event = events.first().filter(|event| event.position == id.position).ok_or_else(|| unknown(id))?;
        let before = decisions.payload_of(event);
        let (after, decisions) = match payload {
            None => (before.clone(), decisions),
            Some(payload) => {
                let after = check(payload, &before)?;
                (after.clone(), decisions.with(id.position, Verdict::Edited(after)))
            }
        };
        let text = |payload: &[u8]| String::from_utf8_lossy(payload).into_owned();
        let mut preview = Preview { before: text(&before), after: text(&after), ..Preview::default() };
        let known = self.aggregate(event);
        preview.current_events =
            match known.map(|known| (known.current_events)(&event.event_type, event.event_version, &after)) {
                Some(Ok(events)) => Ok(events),
                Some(Err(error)) => Err(vec![error.to_string()]),
                None => Err(vec![format!("this program does not know the aggregate type {}", event.aggregate_type)]),
            };
        if let Some(runner) = self.inner.dry_runners.iter().find(|one| one.kind() == id.consumer.kind()) {
            let result = runner.dry_run(&id.consumer, tenant, events, decisions).await;
            let dry_run = result.map_err(|reason| Refusal::unavailable("dead_letter_preview_unavailable", reason))?;
            preview.dry_run = Some(dry_run);
        }
        Ok(preview)
    }
}

/// The result of a dry run of a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The payload that the consumer sees now.
    pub before: String,
    /// The payload that was tried.
    pub after: String,
    /// The events that the payload decodes to, in today's versions; or why it can't be decoded.
    pub current_events: Result<Vec<Value>, Vec<String>>,
    /// The result of the consumer's dry run; `None` if this kind of consumer does not support dry runs.
    pub dry_run: Option<DryRunResult>,
}

impl Default for Preview {
    fn default() -> Self {
        Self { before: String::new(), after: String::new(), current_events: Ok(Vec::new()), dry_run: None }
    }
}

impl Preview {
    /// Why the letter's own event could not be processed; `None` if it could.
    pub fn why_not(&self) -> Option<Vec<String>> {
        match &self.dry_run {
            Some(DryRunResult { taken: 0, failed: Some((_, errors)) }) => Some(errors.clone()),
            Some(_) => None,
            None => self.current_events.as_ref().err().cloned(),
        }
    }
}

/// Checks a payload that is to replace another one.
fn check(payload: &Value, before: &[u8]) -> Result<bytes::Bytes, Refusal> {
    let refused = |pointer: &str, code: &'static str, detail: String| Err(Refusal::field(pointer, code, detail));
    let Some(object) = payload.as_object() else {
        return refused("/payload", "wrong_type", "it has to be an object, like all payloads in the log".to_owned());
    };
    // The payload contains the event's name, which must not change.
    let before: Value = serde_json::from_slice(before).unwrap_or_default();
    if object.get("event") != before.get("event") {
        let allowed = before.get("event").map_or_else(|| "absent".to_owned(), Value::to_string);
        return refused("/payload/event", "not_allowed", format!("it has to stay {allowed}"));
    }
    let text = payload.to_string();
    if text.len() > LONGEST_PAYLOAD {
        let detail = format!("{} bytes are too many; at most {LONGEST_PAYLOAD} are allowed", text.len());
        return refused("/payload", "too_long", detail);
    }
    if text.contains("\\u0000") {
        return refused("/payload", "not_allowed", "the character NUL can't be stored".to_owned());
    }
    Ok(text.into())
}

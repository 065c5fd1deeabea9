//! Compares the answers that clients got with the log.

use std::collections::HashMap;

use kernel::RecordedEvent;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::client::{Answer, Client};
use crate::log;
use crate::world::World;

/// A command of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Capture,
    Assign,
    StartWork,
    Qualify,
}

impl Step {
    /// The event that the command appends.
    const fn event(self) -> &'static str {
        match self {
            Self::Capture => "crm.lead.captured",
            Self::Assign => "crm.lead.assigned",
            Self::StartWork => "crm.lead.work_started",
            Self::Qualify => "crm.lead.qualified",
        }
    }
}

/// A command and its final answer.
#[derive(Clone, Debug)]
pub struct Answered {
    pub client: usize,
    pub key: String,
    pub step: Step,
    pub path: String,
    pub body: serde_json::Value,
    pub answer: Answer,
}

/// Numbers of commands by outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    pub refused: usize,
    /// Acknowledged, but not in the log.
    pub lost: usize,
    /// More than once in the log.
    pub doubled: usize,
    /// At another position than was answered, or before an earlier answer of the same client.
    pub out_of_order: usize,
    /// In the log, but refused or never sent.
    pub unasked: usize,
}

/// The log's position after each command, by command id.
pub type Commands = HashMap<String, u64>;

/// The commands in the log, without the log's own, under which tenants' keys are created: their ids begin with chr(1).
pub async fn commands(superuser: &mut PgConnection) -> Commands {
    sqlx::query("SELECT command_id, last_position FROM log.commands WHERE left(command_id, 1) <> chr(1)")
        .map(|row: PgRow| (row.get(0), row.get::<i64, _>(1).cast_unsigned()))
        .fetch_all(superuser)
        .await
        .unwrap()
        .into_iter()
        .collect()
}

/// Compares the answers, in each client's order, with the log.
pub fn audit(answered: &[Answered], events: &[RecordedEvent], mut commands: Commands) -> Verdict {
    let mut by_command: HashMap<String, Vec<&RecordedEvent>> = HashMap::new();
    for event in events {
        by_command.entry(event.decode_metadata().unwrap().command_id).or_default().push(event);
    }
    let mut verdict = Verdict::default();
    let mut told: HashMap<usize, u64> = HashMap::new();
    for Answered { client, key, step, answer, .. } in answered {
        let recorded = commands.remove(key);
        let written = by_command.remove(key).unwrap_or_default();
        if !answer.status.is_success() {
            verdict.refused += 1;
            if recorded.is_some() || !written.is_empty() {
                println!("refused, but done: {key} {answer:?} {written:?}");
                verdict.unasked += 1;
            }
            continue;
        }
        verdict.acknowledged += 1;
        let Some(recorded) = recorded else {
            println!("acknowledged, but not in the log: {key} {answer:?}");
            verdict.lost += 1;
            continue;
        };
        let position = answer.position();
        let last = told.entry(*client).or_default();
        let mut in_order = recorded == position && *last <= position;
        match written[..] {
            // Assigning a lead to its current owner appends nothing.
            [] if *step == Step::Assign => {}
            [] => verdict.lost += 1,
            [event] => {
                in_order &= event.position.0 == position && *last < position;
                in_order &= event.sequence == answer.version() && event.aggregate_id == answer.id();
                in_order &= event.event_type == step.event();
            }
            _ => verdict.doubled += 1,
        }
        if !in_order {
            println!("at {recorded}, and the client was at {last}: {key} {answer:?} {written:?}");
            verdict.out_of_order += 1;
        }
        *last = position;
    }
    verdict.unasked += commands.len() + by_command.len();
    verdict
}

/// Checks a load's answers against the log, and the log against the stream and the read models.
pub async fn assert_consistent(world: &World, client: &Client, answered: &[Answered]) {
    assert_consistent_besides(world, client, answered, &[]).await;
}

/// The same with further commands besides the load, each with one event.
pub async fn assert_consistent_besides(world: &World, client: &Client, answered: &[Answered], besides: &[&str]) {
    let events = world.verify(client).await;
    let mut commands = commands(&mut world.sql().await).await;
    for key in besides {
        assert!(commands.remove(*key).is_some(), "{key}: acknowledged, but not in the log");
    }
    let by_load = |event: &RecordedEvent| !besides.contains(&event.decode_metadata().unwrap().command_id.as_str());
    let (of_load, extra): (Vec<_>, Vec<_>) = events.into_iter().partition(by_load);
    assert_eq!(extra.len(), besides.len());
    let verdict = audit(answered, &of_load, commands);
    println!("{verdict:?}");
    let Verdict { acknowledged, refused, .. } = verdict;
    assert!(acknowledged > 100, "that was no load: {verdict:?}");
    assert_eq!(verdict, Verdict { acknowledged, refused, ..Verdict::default() });
}

/// Checks a load's answers against the load's part of the log. The log may have other events: of sagas, other commands, or inserted
/// directly.
pub async fn assert_load_consistent(world: &World, answered: &[Answered]) {
    let of_load = |command: &str| command.starts_with("client-");
    let mut superuser = world.sql().await;
    let rows = sqlx::query("SELECT *, payload::text AS body, metadata::text AS data FROM log.events ORDER BY position")
        .fetch_all(&mut superuser)
        .await
        .unwrap();
    let events = rows.iter().map(log::event).filter(|event| of_load(&event.decode_metadata().unwrap().command_id));
    let events: Vec<_> = events.collect();
    let commands = commands(&mut superuser).await.into_iter().filter(|(command, _)| of_load(command)).collect();
    let verdict = audit(answered, &events, commands);
    println!("{verdict:?}");
    let Verdict { acknowledged, refused, .. } = verdict;
    assert!(acknowledged > 100, "that was no load: {verdict:?}");
    assert_eq!(verdict, Verdict { acknowledged, refused, ..Verdict::default() });
}

/// Tests that the audit detects each kind of error.
#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use kernel::Position;
    use reqwest::StatusCode;
    use serde_json::json;

    use super::*;

    /// Two captured leads of one client, at positions 1 and 2.
    fn told() -> Vec<Answered> {
        let answered = |position: u64| {
            let key = format!("key-{position}");
            let body = json!({ "id": format!("lead-{position}"), "version": 1, "position": position });
            let answer = Answer { status: StatusCode::CREATED, body };
            Answered { client: 0, key, step: Step::Capture, path: String::new(), body: json!({}), answer }
        };
        vec![answered(1), answered(2)]
    }

    fn events() -> Vec<RecordedEvent> {
        let tenant = testbed::tenant();
        let event = |position: u64| {
            let nil = uuid::Uuid::nil();
            let metadata = json!({ "actor": "ada", "command_id": format!("key-{position}"), "correlation_id": nil,
                "causation_id": nil, "occurred_at": DateTime::UNIX_EPOCH });
            RecordedEvent {
                tenant,
                position: Position(position),
                event_id: uuid::Uuid::from_u128(position.into()),
                aggregate_type: "crm.lead".to_owned(),
                aggregate_id: format!("lead-{position}"),
                sequence: 1,
                event_type: "crm.lead.captured".to_owned(),
                event_version: 1,
                payload: "{}".into(),
                metadata: metadata.to_string().into(),
                occurred_at: DateTime::UNIX_EPOCH,
                recorded_at: DateTime::UNIX_EPOCH,
            }
        };
        vec![event(1), event(2)]
    }

    fn commands() -> Commands {
        [("key-1".to_owned(), 1), ("key-2".to_owned(), 2)].into()
    }

    #[test]
    fn the_audit_finds_what_is_lost_doubled_out_of_order_or_unasked() {
        let good = Verdict { acknowledged: 2, ..Verdict::default() };
        assert_eq!(audit(&told(), &events(), commands()), good);

        let lost = audit(&told(), &events()[..1], [("key-1".to_owned(), 1)].into());
        assert_eq!(lost, Verdict { lost: 1, ..good });
        let without_event = audit(&told(), &events()[..1], commands());
        assert_eq!(without_event, Verdict { lost: 1, ..good });

        let mut twice = events();
        twice[1].metadata = twice[0].metadata.clone();
        assert_eq!(audit(&told()[..1], &twice, [("key-1".to_owned(), 1)].into()).doubled, 1);

        let mut backwards = told();
        backwards.reverse();
        assert_eq!(audit(&backwards, &events(), commands()), Verdict { out_of_order: 1, ..good });
        let mut elsewhere = events();
        elsewhere[1].aggregate_id = "another".to_owned();
        assert_eq!(audit(&told(), &elsewhere, commands()), Verdict { out_of_order: 1, ..good });

        // Both its stored command and its event count.
        assert_eq!(audit(&told()[..1], &events(), commands()), Verdict { acknowledged: 1, unasked: 2, ..good });
        let mut refused = told();
        refused[1].answer.status = StatusCode::CONFLICT;
        let done = audit(&refused, &events(), commands());
        assert_eq!(done, Verdict { acknowledged: 1, refused: 1, unasked: 1, ..good });
    }
}

//! What clients were told, and whether the log agrees.

use std::collections::HashMap;

use kernel::RecordedEvent;
use sqlx::{PgConnection, Row};

use crate::client::Answer;

/// A command of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Capture,
    Assign,
    StartWork,
    Qualify,
}

impl Step {
    /// The event that it makes.
    const fn event(self) -> &'static str {
        match self {
            Self::Capture => "crm.lead.captured",
            Self::Assign => "crm.lead.assigned",
            Self::StartWork => "crm.lead.work_started",
            Self::Qualify => "crm.lead.qualified",
        }
    }
}

/// A command and the answer that ended its repetitions.
#[derive(Clone, Debug)]
pub struct Answered {
    pub client: usize,
    pub key: String,
    pub step: Step,
    pub path: String,
    pub body: serde_json::Value,
    pub answer: Answer,
}

/// How many commands came out how.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: usize,
    pub refused: usize,
    /// Acknowledged, but not in the log.
    pub lost: usize,
    /// More than once in the log.
    pub doubled: usize,
    /// At another place than was answered, or before what the same client was told earlier.
    pub out_of_order: usize,
    /// In the log, but refused or never asked for.
    pub unasked: usize,
}

/// Holds the answers, in each client's order, against the log.
pub async fn audit(answered: &[Answered], events: &[RecordedEvent], superuser: &mut PgConnection) -> Verdict {
    let mut by_command: HashMap<String, Vec<&RecordedEvent>> = HashMap::new();
    for event in events {
        by_command.entry(event.decode_metadata().unwrap().command_id).or_default().push(event);
    }
    let mut commands: HashMap<String, i64> = sqlx::query("SELECT command_id, last_position FROM log.commands")
        .map(|row: sqlx::postgres::PgRow| (row.get(0), row.get(1)))
        .fetch_all(superuser)
        .await
        .unwrap()
        .into_iter()
        .collect();
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
        let mut in_order = recorded.cast_unsigned() == position && *last <= position;
        match written[..] {
            // To assign a lead to whom it belongs changes nothing.
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

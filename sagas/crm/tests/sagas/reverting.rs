//! `revert_import`: an import is reverted.

use std::sync::Arc;

use chrono::Duration;
use coordinator::{Point, Sagas, Status};
use crm_aggregates::{ImportBatch, ImportId, Lead, LeadStatus, Revert};
use crm_commands::{AssignLead, GRANTS, LeadImport, RequestImportRevert, import_leads};
use futures::future::BoxFuture;
use importing::{ImportPlace, Importing, MOST_ROWS};
use sagabed::{Bed, Case, Crash, Story};

pub struct Reverting;

impl Story for Reverting {
    fn sagas(&self) -> Sagas {
        crm_sagas::sagas()
    }

    fn saga(&self) -> &'static str {
        "revert_import"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let import = import(case, 3).await;
            touch(case, 1).await;
            revert(case, import).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(statuses(case).await, [LeadStatus::Assigned, LeadStatus::Withdrawn, LeadStatus::Withdrawn]);
            assert_eq!(batch(case).await.revert, Revert::Done);
            let counts = [case.count("crm.lead.withdrawn").await, case.count("crm.import_batch.reverted").await];
            assert_eq!(counts, [2, 1]);
        })
    }

    fn undone<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            assert_eq!(statuses(case).await, [LeadStatus::Assigned, LeadStatus::New, LeadStatus::New]);
            assert_eq!(batch(case).await.revert, Revert::None);
        })
    }
}

/// Imports this many leads.
pub async fn import(case: &Case<'_>, rows: usize) -> ImportId {
    let options = LeadImport::default();
    let done = import_leads(&case.bed.executor, &case.request(), csv(rows).as_bytes(), &options).await.unwrap();
    ImportId::new(done.answer.import_id.unwrap())
}

/// A file of this many leads.
fn csv(rows: usize) -> String {
    (0..rows).fold("name\n".to_owned(), |csv, row| csv + &format!("Lead {row}\n"))
}

pub async fn revert(case: &Case<'_>, import: ImportId) {
    case.execute(&RequestImportRevert { import, reason: "the wrong list".to_owned(), lead: None }).await;
}

/// Assigns the first leads to somebody.
async fn touch(case: &Case<'_>, count: usize) {
    for lead in leads(case).await.into_iter().take(count) {
        case.execute(&AssignLead { lead: lead.parse().unwrap(), owner: "grace".to_owned() }).await;
    }
}

async fn leads(case: &Case<'_>) -> Vec<String> {
    let events = case.events().await;
    let captured = events.into_iter().filter(|event| event.event_type == "crm.lead.captured");
    captured.map(|event| event.aggregate_id).collect()
}

async fn statuses(case: &Case<'_>) -> Vec<LeadStatus> {
    let mut statuses = Vec::new();
    for lead in leads(case).await {
        statuses.push(case.load::<Lead>(lead).await.status);
    }
    statuses
}

async fn batch(case: &Case<'_>) -> ImportBatch {
    let events = case.events().await;
    let completed = events.iter().find(|event| event.event_type == "crm.import_batch.completed").unwrap();
    case.load::<ImportBatch>(&completed.aggregate_id).await
}

#[tokio::test]
async fn untouched_leads_are_withdrawn_and_the_others_stay() {
    sagabed::completes(&Reverting, GRANTS).await;
}

#[tokio::test]
async fn a_failure_at_each_step_is_unwound() {
    sagabed::unwinds_from_each_step(&Reverting, GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_nothing() {
    sagabed::survives_each_crash(&Reverting, GRANTS).await;
}

#[tokio::test]
async fn what_is_delivered_twice_happens_once() {
    sagabed::bears_repetition(&Reverting, GRANTS).await;
}

#[tokio::test]
async fn a_step_that_is_to_be_tried_again_while_nobody_runs_is_tried_then() {
    sagabed::catches_up_with_attempts(&Reverting, GRANTS).await;
}

/// Starts to revert an import with two batches of leads, and kills the coordinator after the second batch, before its outcome is written.
async fn revert_cut_off(bed: &Bed, case: &Case<'_>, import: ImportId) {
    let withdrawn = Point::AfterStep { step: "withdraw_leads".to_owned(), undo: false };
    let crash = Arc::new(Crash::after(1, withdrawn));
    let running = bed.start_with(crash.clone());
    revert(case, import).await;
    crash.crashed.notified().await;
    running.kill().await;
    assert_eq!(case.count("crm.saga.step_continued").await, 1, "it was not cut off in the second batch");
    assert_eq!(case.count("crm.import_batch.reverted").await, 0);
}

/// Completes the revert, and checks the result: of 600 leads 595 are withdrawn and 5 kept.
async fn reverted(bed: &Bed, case: &Case<'_>) {
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "cut off");
    assert_eq!(case.count("crm.lead.withdrawn").await, 595);
    let events = case.events().await;
    let reverted = events.iter().find(|event| event.event_type == "crm.import_batch.reverted").unwrap();
    let payload = String::from_utf8_lossy(&reverted.payload);
    assert!(payload.contains(r#""withdrawn":595,"kept":5"#), "{payload}");
}

#[tokio::test]
async fn a_long_revert_goes_in_batches_and_on_where_it_was_cut_off() {
    let bed = Bed::new(Reverting.sagas(), GRANTS).await;
    let case = bed.case("revert_import");
    // The leads of another import in between must stay.
    let first = import(&case, 600).await;
    import(&case, 10).await;
    touch(&case, 5).await;
    revert_cut_off(&bed, &case, first).await;
    reverted(&bed, &case).await;
    let untouched = statuses(&case).await.into_iter().skip(600).filter(|status| *status == LeadStatus::New).count();
    assert_eq!(untouched, 10);
}

#[tokio::test]
async fn a_revert_goes_on_where_the_tenants_events_have_other_positions() {
    let bed = Bed::new(Reverting.sagas(), GRANTS).await;
    let case = bed.case("revert_import");
    let first = import(&case, 600).await;
    touch(&case, 5).await;
    revert_cut_off(&bed, &case, first).await;
    lengthen_log(&bed).await;
    reverted(&bed, &case).await;
}

/// Gives all events higher positions, as in another cell, whose log is longer.
async fn lengthen_log(bed: &Bed) {
    let mut superuser = bed.superuser().await;
    let moved = "SET session_replication_role = replica;
                 UPDATE log.events SET position = position + 1000000;
                 UPDATE log.head SET position = position + 1000000;
                 UPDATE saga.checkpoint SET position = position + 1000000";
    sqlx::Executor::execute(&mut superuser, moved).await.unwrap();
}

#[tokio::test]
async fn the_leads_of_an_import_that_was_cut_off_are_not_searched_in_all_that_is_older() {
    let bed = Bed::new(Reverting.sagas(), GRANTS).await;
    let case = bed.case("revert_import");
    bed.clock.advance(-Duration::days(3));
    import(&case, 1).await;
    lengthen_log(&bed).await;
    bed.clock.advance(Duration::days(3));
    let (csv, request, options) = (csv(60), case.request(), LeadImport::default());
    let (executor, place) = (&bed.executor, ImportPlace::default());
    let mut cut_off = Importing::open(executor, &request, csv.as_bytes(), &options, MOST_ROWS, place).await.unwrap();
    cut_off.step().await.unwrap();
    let import = ImportId::new(cut_off.import_id().unwrap());
    let imported = leads(&case).await.split_off(1);
    assert!((1..60).contains(&imported.len()), "{}", imported.len());
    let lead = Some(imported[0].parse().unwrap());
    case.execute(&RequestImportRevert { import, reason: "the wrong list".to_owned(), lead }).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "cut off");
    assert_eq!(case.count("crm.lead.withdrawn").await, imported.len());
    assert_eq!(case.count("crm.saga.step_continued").await, 0, "it goes on to search where its leads can't be");
}

//! Attempts that go on after their saga has moved on: their commands are not written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use coordinator::{
    Definition, Fault, Next, NoProbe, Point, Probe, Sagas, Start, StartContext, Status, Step, StepContext,
};
use crm_aggregates::{Lead, LeadId};
use crm_commands::{AssignLead, CaptureLead, GRANTS, LeadFields, StartLeadWork, WithdrawLeadEscalation};
use crm_sagas::CrmSagas;
use futures::future::BoxFuture;
use kernel::{Position, RecordedEvent};
use sagabed::{Bed, Case, Failing, Story};
use tokio::sync::{Notify, oneshot};

use crate::follow_up::FollowUp;

const SAGA: &str = "take_lead_on";
const STEP: &str = "take_on";

/// The first attempt at the step, or at its undo, hands its context to the test and stops, as in a process that hangs. What the test then
/// executes with it is what that process does when it wakes.
#[derive(Clone)]
struct Hanging(Arc<Mutex<Option<oneshot::Sender<StepContext>>>>);

impl Hanging {
    fn new() -> (Self, oneshot::Receiver<StepContext>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    async fn hang_first(&self, context: &StepContext) {
        let first = self.0.lock().unwrap().take();
        if let Some(first) = first {
            assert!(first.send(context.clone()).is_ok(), "the test does not wait for it");
            std::future::pending::<()>().await;
        }
    }

    /// A saga that takes each captured lead on.
    fn sagas(&self) -> Sagas {
        let start = |_: StartContext, event: RecordedEvent| async move {
            let lead: LeadId = event.aggregate_id.parse().unwrap();
            Ok::<_, Fault>(Some(Start { key: event.aggregate_id, parameters: lead }))
        };
        let (acting, undoing) = (self.clone(), self.clone());
        let act = move |context: StepContext, lead: LeadId| {
            let hanging = acting.clone();
            async move {
                hanging.hang_first(&context).await;
                take_on(&context, lead).await.map(|()| Next::done())
            }
        };
        let undo = move |context: StepContext, lead: LeadId| {
            let hanging = undoing.clone();
            async move {
                hanging.hang_first(&context).await;
                give_back(&context, lead).await.map(|()| Next::done())
            }
        };
        let steps = vec![Step::new(STEP, act).undo(undo)];
        let definition = Definition::new(SAGA, 1, &["crm:lead:write"], &["crm.lead.captured"], start, steps);
        Sagas::of::<CrmSagas>(GRANTS, vec![definition])
    }
}

/// What the step does: two commands.
async fn take_on(context: &StepContext, lead: LeadId) -> Result<(), Fault> {
    context.execute(&AssignLead { lead, owner: "grace".to_owned() }).await?;
    context.execute(&StartLeadWork { lead }).await
}

/// What its undo does, if there is something to undo.
async fn give_back(context: &StepContext, lead: LeadId) -> Result<(), Fault> {
    let owner = context.load::<Lead>(lead).await?.and_then(|(lead, _)| lead.owner.clone());
    if owner.as_deref() == Some("grace") {
        context.execute(&AssignLead { lead, owner: "ada".to_owned() }).await?;
    }
    Ok(())
}

/// A lead of ada.
async fn capture(case: &Case<'_>) -> LeadId {
    let details = LeadFields { name: "Katherine Johnson".to_owned(), ..LeadFields::default() };
    case.execute(&CaptureLead { details, owner: Some("ada".to_owned()), ..CaptureLead::default() }).await
}

async fn owner(case: &Case<'_>, lead: LeadId) -> Option<String> {
    case.load::<Lead>(lead).await.owner
}

/// Makes the step fail.
fn failing() -> Arc<Failing> {
    Arc::new(Failing(Point::BeforeStep { step: STEP.to_owned(), undo: false }))
}

/// The log's last position, and the number of its commands, which includes those that changed nothing.
async fn written(bed: &Bed) -> (Position, i64) {
    let commands = sqlx::query_scalar("SELECT count(*) FROM log.commands");
    let commands: i64 = commands.fetch_one(&mut bed.superuser().await).await.unwrap();
    (bed.store.head().await.unwrap(), commands)
}

/// The first coordinator hangs with a lead's saga, and the second one takes it to its end. Returns the lead, and the first one's context.
async fn overtaken(
    case: &Case<'_>,
    hung: oneshot::Receiver<StepContext>,
    [first, second]: [Arc<dyn Probe>; 2],
    end: Status,
) -> (LeadId, StepContext) {
    let first = case.bed.start_with(first);
    let lead = capture(case).await;
    let context = hung.await.unwrap();
    first.kill().await;
    let second = case.bed.start_with(second);
    let state = case.end(&second).await;
    case.assert_status(&state, end, "by another");
    case.bed.followed().await;
    second.stop().await;
    (lead, context)
}

#[tokio::test]
async fn fault_a_coordinator_that_hangs_and_wakes_when_another_has_unwound_the_saga_writes_nothing() {
    let (hanging, hung) = Hanging::new();
    let bed = Bed::new(hanging.sagas(), GRANTS).await;
    let case = bed.case(SAGA);
    let (lead, context) = overtaken(&case, hung, [Arc::new(NoProbe), failing()], Status::Compensated).await;

    let before = written(&bed).await;
    // The second one would change nothing.
    for late in [take_on(&context, lead).await, context.execute(&WithdrawLeadEscalation { lead }).await] {
        assert_eq!(late.unwrap_err().code, "saga_moved_on");
    }
    assert_eq!(written(&bed).await, before);
    assert_eq!(owner(&case, lead).await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn fault_a_coordinator_that_hangs_in_an_undo_and_wakes_when_another_has_done_it_writes_nothing() {
    let (hanging, hung) = Hanging::new();
    let bed = Bed::new(hanging.sagas(), GRANTS).await;
    let case = bed.case(SAGA);
    let (lead, context) = overtaken(&case, hung, [failing(), Arc::new(NoProbe)], Status::Compensated).await;
    // Now somebody wants what the undo would take back.
    case.execute(&AssignLead { lead, owner: "grace".to_owned() }).await;

    let before = written(&bed).await;
    assert_eq!(give_back(&context, lead).await.unwrap_err().code, "saga_moved_on");
    assert_eq!(written(&bed).await, before);
    assert_eq!(owner(&case, lead).await.as_deref(), Some("grace"));
}

#[tokio::test]
async fn fault_a_coordinator_that_hangs_and_wakes_when_another_has_done_the_step_gets_its_answers_and_writes_nothing() {
    let (hanging, hung) = Hanging::new();
    let bed = Bed::new(hanging.sagas(), GRANTS).await;
    let case = bed.case(SAGA);
    let (lead, context) = overtaken(&case, hung, [Arc::new(NoProbe), Arc::new(NoProbe)], Status::Completed).await;

    let before = written(&bed).await;
    take_on(&context, lead).await.unwrap();
    assert_eq!(written(&bed).await, before);
    assert_eq!(owner(&case, lead).await.as_deref(), Some("grace"));
}

/// Once closed, stops a coordinator before a step until it is opened.
struct Gate {
    at: Point,
    closed: AtomicBool,
    reached: Notify,
    opened: Notify,
}

impl Probe for Gate {
    fn at<'a>(&'a self, point: &'a Point) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if *point == self.at && self.closed.load(Ordering::SeqCst) {
                self.reached.notify_one();
                self.opened.notified().await;
            }
        })
    }
}

#[tokio::test]
async fn a_step_that_runs_when_its_saga_is_cancelled_executes_no_further_command() {
    let bed = Bed::new(FollowUp.sagas(), GRANTS).await;
    let case = bed.case(FollowUp.saga());
    let at = Point::BeforeStep { step: "escalate".to_owned(), undo: false };
    let (reached, opened) = (Notify::new(), Notify::new());
    let gate = Arc::new(Gate { at, closed: AtomicBool::new(false), reached, opened });
    let running = bed.start_with(gate.clone());
    FollowUp.begin(&case).await;
    case.until("waiting", |one| case.later(one).is_some()).await;
    gate.closed.store(true, Ordering::SeqCst);
    case.pass(&running).await;
    gate.reached.notified().await;
    let (listed, _) = case.instance().await;
    bed.instances.cancel(&case.request(), listed.id, "we know them".to_owned()).await.unwrap();
    gate.opened.notify_one();
    case.until("taken back", |one| one.status == Status::Compensated).await;
    assert_eq!(case.count("crm.lead.escalated").await, 0);
    FollowUp.undone(&case).await;
    running.stop().await;
}

//! `note_address_change`: a change of the address is told once to the address that was verified before, with every failure injected; and
//! nothing that is done after it keeps the notice from there.

use std::sync::Arc;

use coordinator::{Sagas, Status};
use executor::{Command, Work};
use futures::future::BoxFuture;
use kernel::{Caller, Grant, Refusal, Role, UserId};
use mailer::Caught;
use sagabed::{Bed, Case, Story};
use user_aggregates::{User, UserCommand};
use user_commands::{
    ActivateTenant, Catalogue, ChangeLogin, GRANTS, LoginFields, RemoveUser, RequestEmailVerification, SuspendTenant,
    VerifyEmail,
};
use user_sagas::{Ports, UserSagas};

use crate::end_access::register;
use crate::provisioning::{ResourcesDouble, operators_grants, ports, request};

const NAME: &str = "note_address_change";
const CHANGED: &str = "The e-mail address of your account was changed";

/// An administrator changes the address of somebody who had verified it.
#[derive(Default)]
struct Moved {
    caught: Caught,
}

fn catalogue() -> Catalogue {
    Catalogue::from(GRANTS.to_vec())
}

/// The address with which people are registered.
fn first_address(case: &Case<'_>) -> String {
    format!("ada@{}.example", case.tenant())
}

/// The person follows a link that was mailed to their address.
async fn verifies(case: &Case<'_>, user: UserId, turn: u32) {
    let permissions = ["user:self:write", "user:email:verify"];
    let grants = permissions.map(|permission| Grant { permission, roles: &[Role::Viewer], meaning: "" });
    let oneself = Caller::new(case.tenant(), user.to_string(), &[Role::Viewer], &grants);
    case.bed.executor.run(&oneself, &RequestEmailVerification { user }).await.unwrap();
    let verified = case.bed.executor.run(&oneself, &VerifyEmail { user, turn }).await.unwrap();
    assert_eq!(verified.answer, None);
}

async fn verified(case: &Case<'_>) -> UserId {
    let user = register(case).await;
    verifies(case, user, 1).await;
    user
}

async fn moves(case: &Case<'_>, user: UserId, email: &str) {
    let login = LoginFields { email: email.to_owned(), user_name: None };
    case.execute(&ChangeLogin { user, login, catalogue: catalogue() }).await;
}

/// Erases a user, without the job that removes their files.
struct Erase(UserId);

impl Command for Erase {
    const PERMISSION: &'static str = "user:user:write";
    type Answer = ();

    async fn run(&self, work: &mut Work<'_>) -> Result<(), Refusal> {
        work.update::<User>(self.0, UserCommand::Erase).await
    }
}

impl Moved {
    /// The subjects of the mails, with their recipients, oldest first.
    fn mails(&self) -> Vec<(String, String)> {
        let mails = self.caught.all().into_iter().rev();
        mails.map(|mail| (mail.to.reveal().clone(), mail.subject.reveal().clone())).collect()
    }
}

impl Story for Moved {
    /// Only this saga.
    fn sagas(&self) -> Sagas {
        let ports = ports(&ResourcesDouble::default());
        let all = user_sagas::sagas(&Ports { mailer: Arc::new(self.caught.clone()), ..ports });
        let definitions = all.definitions().iter().filter(|definition| definition.name() == NAME);
        Sagas::of::<UserSagas>(GRANTS, definitions.cloned().collect())
    }

    fn saga(&self) -> &'static str {
        NAME
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let user = verified(case).await;
            moves(case, user, "eve@evil.example").await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let address = first_address(case);
            let mails = self.caught.all();
            let [mail] = mails.iter().filter(|mail| *mail.to.reveal() == address).collect::<Vec<_>>()[..] else {
                panic!("not one mail to {address}: {} in all", mails.len());
            };
            let (subject, text) = (mail.subject.reveal(), mail.text.reveal());
            assert_eq!(subject, CHANGED);
            assert!(text.starts_with("Hello Ada,\n\nat ") && text.contains(" UTC "), "{text}");
            assert!(text.contains(&format!("\n- {CHANGED}\n\nAn administrator did it")), "{text}");
            assert!(!text.contains("evil.example"), "{text}");
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn the_address_before_is_told_that_it_was_changed() {
    sagabed::completes(&Moved::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_notice() {
    sagabed::survives_each_crash(&Moved::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_give_notice_of_nothing_again() {
    sagabed::bears_repetition(&Moved::default(), GRANTS).await;
}

#[tokio::test]
async fn a_notice_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Moved::default(), GRANTS).await;
}

#[tokio::test]
async fn a_notice_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Moved::default(), GRANTS).await;
}

#[tokio::test]
async fn an_address_that_nobody_verified_and_one_that_stays_are_told_nothing() {
    let story = Moved::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let running = bed.start();
    let address = first_address(&case);
    let user = register(&case).await;
    moves(&case, user, "mistyped@other.example").await;
    moves(&case, user, &address).await;
    verifies(&case, user, 1).await;
    let login = LoginFields { email: address, user_name: Some("ada".to_owned()) };
    case.execute(&ChangeLogin { user, login, catalogue: catalogue() }).await;
    assert_eq!(case.count("user.user.login_changed").await, 3);
    bed.rested().await;
    assert_eq!(story.mails(), []);
    running.stop().await;
}

#[tokio::test]
async fn where_nobody_can_use_the_tenant_and_of_whom_is_erased_nobody_is_told() {
    let story = Moved::default();
    let bed = Bed::new(story.sagas(), operators_grants()).await;
    let (suspended, erased) = (bed.case(story.saga()), bed.case(story.saga()));
    request(&suspended, "acme".to_owned()).await;
    suspended.execute(&ActivateTenant).await;
    story.begin(&suspended).await;
    suspended.execute(&SuspendTenant { reason: "not paid".to_owned() }).await;
    let user = verified(&erased).await;
    moves(&erased, user, "eve@other.example").await;
    erased.execute(&Erase(user)).await;
    let running = bed.start();
    for case in [&suspended, &erased] {
        let state = case.end(&running).await;
        case.assert_status(&state, Status::Completed, "nobody to tell");
    }
    assert_eq!(story.mails(), []);
    running.stop().await;
}

#[tokio::test]
async fn attack_275_who_changes_an_address_keeps_the_notice_from_nobody_by_changing_it_again_or_removing_the_person() {
    let story = Moved::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let user = verified(&case).await;
    moves(&case, user, "eve@evil.example").await;
    moves(&case, user, "mallory@evil.example").await;
    verifies(&case, user, 2).await;
    moves(&case, user, "trudy@evil.example").await;
    case.execute(&RemoveUser { user, catalogue: catalogue() }).await;
    let running = bed.start();
    bed.rested().await;
    running.stop().await;
    let mut told = story.mails();
    told.sort();
    let notice = |address: String| (address, CHANGED.to_owned());
    let first = notice(first_address(&case));
    assert_eq!(told, [first.clone(), first, notice("mallory@evil.example".to_owned())]);
}

#[tokio::test]
async fn attack_277_nor_does_anybody_cancel_the_notice_of_another_address() {
    let story = Moved::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let before_step = coordinator::Point::BeforeStep { step: "mail".to_owned(), undo: false };
    let running = bed.start_with(Arc::new(sagabed::FailingOnce { at: before_step, failed: false.into() }));
    story.begin(&case).await;
    case.until("it waits for the mail server", |one| case.later(one).is_some()).await;
    let (listed, before) = (case.instance().await.0, bed.store.head().await.unwrap());
    let refused = bed.instances.cancel(&case.request(), listed.id, "it is me".to_owned()).await.unwrap_err();
    assert_eq!(refused.code(), "saga_not_cancellable", "{refused:?}");
    assert_eq!(bed.store.head().await.unwrap(), before, "a refusal writes nothing");
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "all the same");
    story.done(&case).await;
    running.stop().await;
}

//! The sagas of the user service that mail: each mail is sent once, with every failure injected.

use std::sync::Arc;

use coordinator::{Sagas, Status};
use futures::future::BoxFuture;
use mailer::Caught;
use sagabed::{Bed, Case, Story};
use testbed::eventually;
use user_aggregates::OpenTo;
use user_commands::{
    Catalogue, GRANTS, InviteUser, LinkKey, LoginFields, ProfileFields, Purpose, RegisterUser,
    RequestEmailVerification, RequestRegistration, ResendInvitation, RevokeInvitation, SetRegistrationPolicy,
};
use user_sagas::Ports;

use crate::end_access::register;
use crate::provisioning::{ResourcesDouble, ports};

struct Invited {
    caught: Caught,
}

impl Invited {
    fn new() -> Self {
        Self { caught: Caught::default() }
    }

    fn links() -> LinkKey {
        LinkKey::derive(&[7; 32])
    }
}

/// The text of the only mail to this address.
fn only_mail(caught: &Caught, address: &str) -> String {
    let mails = caught.all();
    let [mail] = mails.iter().filter(|mail| *mail.to.reveal() == address).collect::<Vec<_>>()[..] else {
        panic!("not one mail to {address}: {} in all", mails.len());
    };
    mail.text.reveal().clone()
}

async fn invite(case: &Case<'_>) -> user_aggregates::InvitationId {
    let catalogue = Catalogue::from(GRANTS.to_vec());
    let (email, name) = (format!("ada@{}.example", case.tenant()), Some("Ada".to_owned()));
    case.execute(&InviteUser { email, name, roles: vec!["member".to_owned()], groups: vec![], catalogue }).await
}

impl Story for Invited {
    fn sagas(&self) -> Sagas {
        let ports = ports(&ResourcesDouble::default());
        user_sagas::sagas(&Ports { mailer: Arc::new(self.caught.clone()), ..ports })
    }

    fn saga(&self) -> &'static str {
        "send_invitation"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move { _ = invite(case).await })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let address = format!("ada@{}.example", case.tenant());
            let text = only_mail(&self.caught, &address);
            let link = text.split("link=").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
            let link = Self::links().read(Purpose::Invitation, link).expect("a link of ours");
            assert_eq!((link.tenant, link.turn), (case.tenant(), 1));
            assert!(text.starts_with("Hello Ada,"), "{text}");
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn an_invitation_is_mailed_with_its_link() {
    sagabed::completes(&Invited::new(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_mail() {
    sagabed::survives_each_crash(&Invited::new(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_mail_nothing_again() {
    sagabed::bears_repetition(&Invited::new(), GRANTS).await;
}

#[tokio::test]
async fn an_invitation_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Invited::new(), GRANTS).await;
}

#[tokio::test]
async fn an_invitation_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Invited::new(), GRANTS).await;
}

#[tokio::test]
async fn what_was_revoked_before_it_could_be_mailed_is_not_mailed() {
    let story = Invited::new();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let invitation = invite(&case).await;
    case.execute(&RevokeInvitation { invitation, catalogue: Catalogue::from(GRANTS.to_vec()) }).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "revoked");
    assert_eq!(story.caught.all(), []);
    running.stop().await;
}

#[tokio::test]
async fn an_invitation_sent_again_before_it_could_be_mailed_is_mailed_once_with_the_last_link() {
    let story = Invited::new();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let invitation = invite(&case).await;
    case.execute(&ResendInvitation { invitation, catalogue: Catalogue::from(GRANTS.to_vec()) }).await;
    only_the_second_is_mailed(&story, &bed, &case).await;
}

#[tokio::test]
async fn an_account_asked_for_again_before_a_link_could_be_mailed_is_mailed_once_with_the_last_one() {
    let story = Invited::new();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    let email = format!("ada@{}.example", case.tenant());
    open_to_everybody(&case).await;
    asks_for_account(&case, &email).await;
    bed.clock.advance(chrono::TimeDelta::minutes(10));
    asks_for_account(&case, &email).await;
    assert_eq!(case.count("user.invitation.resent").await, 1);
    only_the_second_is_mailed(&story, &bed, &case).await;
}

/// Runs the sagas for two links that were requested for one address.
async fn only_the_second_is_mailed(story: &Invited, bed: &Bed, case: &Case<'_>) {
    let running = bed.start();
    bed.followed().await;
    eventually("the sagas end", async || case.listed().await.iter().all(|one| !one.status.is_active()).then_some(()))
        .await;
    running.stop().await;
    let text = only_mail(&story.caught, &format!("ada@{}.example", case.tenant()));
    let link = text.split("link=").nth(1).unwrap().split('\n').next().unwrap();
    assert_eq!(Invited::links().read(Purpose::Invitation, link).unwrap().turn, 2);
}

async fn open_to_everybody(case: &Case<'_>) {
    let (domains, roles, catalogue) = (Vec::new(), Vec::new(), Catalogue::from(GRANTS.to_vec()));
    case.execute(&SetRegistrationPolicy { open_to: OpenTo::Everybody, domains, roles, catalogue }).await;
}

/// A registration, with the only permission that the sign-up page has.
async fn asks_for_account(case: &Case<'_>, email: &str) {
    let grant = kernel::Grant { permission: "user:registration:request", roles: &[kernel::Role::Viewer], meaning: "" };
    let stranger = kernel::Caller::new(case.tenant(), "registration", &[kernel::Role::Viewer], &[grant]);
    case.bed.executor.run(&stranger, &RequestRegistration { email: email.to_owned() }).await.unwrap();
}

/// A registration with the address of an existing user.
#[derive(Default)]
struct Known {
    caught: Caught,
}

impl Story for Known {
    fn sagas(&self) -> Sagas {
        let ports = ports(&ResourcesDouble::default());
        user_sagas::sagas(&Ports { mailer: Arc::new(self.caught.clone()), ..ports })
    }

    fn saga(&self) -> &'static str {
        "note_registration"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let catalogue = Catalogue::from(GRANTS.to_vec());
            let email = format!("ada@{}.example", case.tenant());
            open_to_everybody(case).await;
            let register = RegisterUser {
                login: LoginFields { email: email.clone(), user_name: None },
                profile: ProfileFields { name: "Ada".to_owned(), ..ProfileFields::default() },
                roles: vec![],
                groups: vec![],
                catalogue,
            };
            case.execute(&register).await;
            asks_for_account(case, &email).await;
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let address = format!("ada@{}.example", case.tenant());
            let text = only_mail(&self.caught, &address);
            assert!(text.starts_with("Hello Ada,") && text.contains("You have one already"), "{text}");
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn who_has_an_account_already_is_mailed_so() {
    sagabed::completes(&Known::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_mail_to_who_has_an_account() {
    sagabed::survives_each_crash(&Known::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_mail_nothing_again_to_who_has_an_account() {
    sagabed::bears_repetition(&Known::default(), GRANTS).await;
}

#[tokio::test]
async fn word_of_a_registration_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Known::default(), GRANTS).await;
}

#[tokio::test]
async fn word_of_a_registration_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Known::default(), GRANTS).await;
}

/// A user requests a link that verifies their address.
#[derive(Default)]
struct Unverified {
    caught: Caught,
}

impl Story for Unverified {
    fn sagas(&self) -> Sagas {
        let ports = ports(&ResourcesDouble::default());
        user_sagas::sagas(&Ports { mailer: Arc::new(self.caught.clone()), ..ports })
    }

    fn saga(&self) -> &'static str {
        "verify_email"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let user = register(case).await;
            let oneself = kernel::Caller::new(case.tenant(), user.to_string(), &[kernel::Role::Admin], GRANTS);
            case.bed.executor.run(&oneself, &RequestEmailVerification { user }).await.unwrap();
        })
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let text = only_mail(&self.caught, &format!("ada@{}.example", case.tenant()));
            let link = text.split("link=").nth(1).and_then(|rest| rest.split('\n').next()).unwrap();
            let link = Invited::links().read(Purpose::Email, link).expect("a link of ours");
            assert_eq!((link.tenant, link.turn), (case.tenant(), 1));
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_link_to_verify_an_address_is_mailed_to_it() {
    sagabed::completes(&Unverified::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_link_to_verify_an_address() {
    sagabed::survives_each_crash(&Unverified::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_mail_no_link_to_verify_an_address_again() {
    sagabed::bears_repetition(&Unverified::default(), GRANTS).await;
}

#[tokio::test]
async fn a_link_to_verify_an_address_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Unverified::default(), GRANTS).await;
}

#[tokio::test]
async fn a_link_to_verify_an_address_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Unverified::default(), GRANTS).await;
}

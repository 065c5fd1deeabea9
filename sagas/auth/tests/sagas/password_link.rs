//! `send_password_link`: the link is mailed once, with every failure injected; and not when it is no longer valid.

use std::sync::Arc;

use auth_commands::{CloseAccount, GRANTS, RequestPasswordReset, protocol};
use auth_sagas::{PasswordLinkMail, PasswordLinkMails, Ports};
use coordinator::{Sagas, Status};
use futures::FutureExt;
use futures::future::BoxFuture;
use kernel::{TenantId, UserId};
use mailer::Caught;
use sagabed::{Bed, Case, Story};

use crate::account_change::NoticeMailsDouble;
use crate::logout::Told;

#[derive(Default)]
struct Forgot {
    caught: Caught,
}

/// Makes mails that name their addressee.
pub struct PasswordLinkMailsDouble;

impl PasswordLinkMails for PasswordLinkMailsDouble {
    fn password_link(
        &self,
        tenant: TenantId,
        user: UserId,
        turn: u32,
    ) -> BoxFuture<'_, Result<Option<PasswordLinkMail>, String>> {
        let mail = PasswordLinkMail {
            to: format!("{user}@example.com").into(),
            name: "Ada".to_owned().into(),
            tenant: "Acme".to_owned(),
            link: format!("https://example.com/{tenant}/{user}/{turn}").into(),
        };
        async move { Ok(Some(mail)) }.boxed()
    }
}

/// The person who forgot their password, one per tenant.
fn user(case: &Case<'_>) -> UserId {
    UserId::new(case.tenant().uuid())
}

async fn forget(case: &Case<'_>) {
    let request = RequestPasswordReset { user: user(case) };
    case.bed.executor.run(&protocol(case.tenant(), "auth"), &request).await.unwrap();
}

impl Story for Forgot {
    fn sagas(&self) -> Sagas {
        auth_sagas::sagas(&Ports {
            mailer: Arc::new(self.caught.clone()),
            password_link_mails: Arc::new(PasswordLinkMailsDouble),
            notice_mails: Arc::new(NoticeMailsDouble::default()),
            notices: Arc::new(Told::default()),
        })
    }

    fn saga(&self) -> &'static str {
        "send_password_link"
    }

    fn begin<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(forget(case))
    }

    fn done<'a>(&'a self, case: &'a Case<'a>) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let address = format!("{}@example.com", user(case));
            let mails = self.caught.all();
            let [mail] = mails.iter().filter(|mail| *mail.to.reveal() == address).collect::<Vec<_>>()[..] else {
                panic!("not one mail to {address}");
            };
            let link = format!("\nhttps://example.com/{}/{}/1\n", case.tenant(), user(case));
            assert!(mail.text.reveal().contains(&link), "{}", mail.text.reveal());
        })
    }

    fn undone<'a>(&'a self, _: &'a Case<'a>) -> BoxFuture<'a, ()> {
        // A mail can't be taken back; nothing else was done.
        Box::pin(async {})
    }
}

#[tokio::test]
async fn a_link_to_set_a_password_is_mailed() {
    sagabed::completes(&Forgot::default(), GRANTS).await;
}

#[tokio::test]
async fn a_crash_between_any_two_writes_loses_and_doubles_no_mail() {
    sagabed::survives_each_crash(&Forgot::default(), GRANTS).await;
}

#[tokio::test]
async fn events_delivered_again_mail_nothing_again() {
    sagabed::bears_repetition(&Forgot::default(), GRANTS).await;
}

#[tokio::test]
async fn a_link_that_can_never_be_mailed_is_given_up() {
    sagabed::unwinds_from_each_step(&Forgot::default(), GRANTS).await;
}

#[tokio::test]
async fn a_link_that_is_to_be_mailed_again_while_nobody_runs_is_mailed_then() {
    sagabed::catches_up_with_attempts(&Forgot::default(), GRANTS).await;
}

#[tokio::test]
async fn a_closed_accounts_link_is_not_mailed() {
    let story = Forgot::default();
    let bed = Bed::new(story.sagas(), GRANTS).await;
    let case = bed.case(story.saga());
    forget(&case).await;
    case.execute(&CloseAccount { user: user(&case) }).await;
    let running = bed.start();
    let state = case.end(&running).await;
    case.assert_status(&state, Status::Completed, "closed");
    assert_eq!(story.caught.all(), []);
    running.stop().await;
}

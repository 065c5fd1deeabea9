//! The operations for people who follow a link from an e-mail. They have no token: the link, which only this service can issue,
//! identifies them.

use face::operation::{ChangeResult, CreateResult, Target};
use face::{Changed, PublicCommand};
use kernel::Refusal;
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;
use user_commands::{AcceptInvitation, Acceptance, Link, Purpose, VerifyEmail};

use super::{Service, Tag, form};
use crate::SERVICE;
use crate::mailed_links::{NOT_GOOD, acceptor, verifier};

/// Operations on links that were sent by e-mail.
pub struct Links {
    service: Service,
}

impl Links {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }

    fn read(&self, purpose: Purpose, text: &str) -> Result<Link, Refusal> {
        self.service.links.read(purpose, text).ok_or_else(not_good)
    }
}

/// Acceptance of an invitation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"link": "the token from the link in the e-mail", "name": "Ada Lovelace"}))]
struct InvitationAcceptance {
    /// Token from the link in the e-mail.
    #[schemars(with = "form::Link")]
    link: String,
    /// Full name, as it should be displayed.
    #[schemars(with = "form::Name")]
    name: String,
}

/// Verification of an e-mail address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"link": "the token from the link in the e-mail"}))]
struct EmailVerification {
    /// Token from the link in the e-mail.
    #[schemars(with = "form::Link")]
    link: String,
}

/// The same answer whatever is wrong with a link, so that a stranger learns nothing from it. The log records the reason.
fn not_good() -> Refusal {
    Refusal::conflict(
        NOT_GOOD,
        "the link is not valid: it has expired, was used or revoked, or a later one was sent; ask for a new one",
    )
}

/// Replaces the refusal of an invalid link by [`not_good`], so that all of them look the same.
fn alike(refusal: Refusal) -> Refusal {
    if refusal.code() == NOT_GOOD { not_good() } else { refusal }
}

#[OpenApi(tag = "Tag::Invitations")]
impl Links {
    /// Accept an invitation
    ///
    /// Needs no access token: the link from the e-mail, valid once, identifies the person. This also verifies their e-mail address.
    /// As long as whoever sent the invitation is locked, or may no longer give what it gives, it is refused (`inviter_not_allowed`).
    #[oai(path = "/v1/user/invitations/accept", method = "post", operation_id = "acceptInvitation")]
    async fn accept(&self, command: PublicCommand<InvitationAcceptance>) -> CreateResult {
        let InvitationAcceptance { link, name } = &command.body;
        let link = self.read(Purpose::Invitation, link)?;
        let request = command.request(acceptor(&link), &*self.service.runtime.active_tenants)?;
        let senders = self.service.subjects();
        let accept = AcceptInvitation { invitation: link.id.into(), turn: link.turn, name: name.clone(), senders };
        let done = self.service.runtime.executor.execute(&request, &accept).await.map_err(alike)?;
        let Acceptance::Accepted { user } = done.answer else { return Err(not_good().into()) };
        let id = user.uuid();
        Ok(Changed::new(SERVICE, done, |_| Target { id }).created(format!("/v1/user/users/{id}")))
    }

    /// Verify an e-mail address
    ///
    /// Needs no access token: the link from the e-mail identifies the address.
    #[oai(path = "/v1/user/email/verify", method = "post", operation_id = "verifyEmail")]
    async fn verify_email(&self, command: PublicCommand<EmailVerification>) -> ChangeResult {
        let link = self.read(Purpose::Email, &command.body.link)?;
        let request = command.request(verifier(&link), &*self.service.runtime.active_tenants)?;
        let verify = VerifyEmail { user: link.id.into(), turn: link.turn };
        let done = self.service.runtime.executor.execute(&request, &verify).await.map_err(alike)?;
        if done.answer.is_some() {
            return Err(not_good().into());
        }
        Ok(Changed::new(SERVICE, done, |_| Target { id: link.id }))
    }
}

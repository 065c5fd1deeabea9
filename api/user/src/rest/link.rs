//! What whoever follows a mailed link may do. They have no token: the link, which only we can make, says who they are.

use face::operation::{Done, Made, Target};
use face::{Changed, PublicCommand};
use kernel::Refusal;
use poem_openapi::OpenApi;
use schemars::JsonSchema;
use serde::Deserialize;
use user_commands::{AcceptInvitation, Acceptance, Link, Purpose, VerifyEmail};

use super::{Service, Tag, form};
use crate::SERVICE;
use crate::mailed_links::{NOT_GOOD, acceptor, verifier};

/// The operations on mailed links.
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

/// What an invitation is accepted with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"link": "what stands in the mailed link", "name": "Ada Lovelace"}))]
struct InvitationAcceptance {
    /// What stands in the mailed link.
    #[schemars(with = "form::Link")]
    link: String,
    /// Their name, as they want it shown.
    #[schemars(with = "form::Name")]
    name: String,
}

/// What an address is verified with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({"link": "what stands in the mailed link"}))]
struct EmailVerification {
    /// What stands in the mailed link.
    #[schemars(with = "form::Link")]
    link: String,
}

/// One answer for whatever is wrong with a link: a stranger learns nothing from it. The log knows why.
fn not_good() -> Refusal {
    Refusal::conflict(
        NOT_GOOD,
        "the link is not good: its time is over, a later one was sent, or it was used or taken back; ask for a new one",
    )
}

/// The same answer for a link that was followed in vain before.
fn alike(refusal: Refusal) -> Refusal {
    if refusal.code() == NOT_GOOD { not_good() } else { refusal }
}

#[OpenApi(tag = "Tag::Invitations")]
impl Links {
    /// Accept an invitation
    ///
    /// Needs no token: the mailed link, good once, says who it is. Their e-mail address is verified by it.
    #[oai(path = "/v1/user/invitations/accept", method = "post", operation_id = "acceptInvitation")]
    async fn accept(&self, command: PublicCommand<InvitationAcceptance>) -> Made {
        let InvitationAcceptance { link, name } = &command.body;
        let link = self.read(Purpose::Invitation, link)?;
        let request = command.request(acceptor(&link), &*self.service.runtime.active_tenants)?;
        let accept = AcceptInvitation { invitation: link.id.into(), turn: link.turn, name: name.clone() };
        let done = self.service.runtime.executor.execute(&request, &accept).await.map_err(alike)?;
        let Acceptance::Accepted { user } = done.answer else { return Err(not_good().into()) };
        let id = user.uuid();
        Ok(Changed::new(SERVICE, done, |_| Target { id }).created(format!("/v1/user/users/{id}")))
    }

    /// Verify an e-mail address
    ///
    /// Needs no token: the mailed link says whose address it is.
    #[oai(path = "/v1/user/email/verify", method = "post", operation_id = "verifyEmail")]
    async fn verify_email(&self, command: PublicCommand<EmailVerification>) -> Done {
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

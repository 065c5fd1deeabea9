//! What our mailed links are good for, whoever asks: an operation of REST, or a page through the port `face::MailedLinks`. Who
//! follows one has no token: the link, which only we can make, says who it is.

use std::time::Duration;

use async_trait::async_trait;
use executor::Executor;
use face::{Addressee, Addressees, Invited, MailedLinks, People, Person};
use kernel::{Caller, Grant, Refusal, Role, TenantId, UserId};
use projector::ReadModels;
use user_aggregates::{Invitation, RegistrationPolicy, User};
use user_commands::{
    AcceptInvitation, Acceptance, Link, LinkKey, Purpose, Registration, RequestRegistration, ShowEmail, VerifyEmail,
};

use crate::UserDirectory;

/// How long a page waits until the directory knows a user who is new.
const PATIENCE: Duration = Duration::from_secs(10);

/// The code of a link that is worth nothing.
pub(crate) const NOT_GOOD: &str = "link_not_good";

/// How it is refused that an address is somebody's who is no user, may not sign in, or has another one by now.
const NOT_THEIRS: [&str; 3] = ["not_found", "user_step_not_allowed", "link_not_good"];

/// The links of our letters.
pub struct UserMailedLinks {
    executor: Executor,
    read_models: ReadModels,
    links: LinkKey,
}

impl UserMailedLinks {
    /// Over the log of people, and the directory. `secret`: the service's own.
    pub fn new(executor: Executor, read_models: ReadModels, secret: &[u8; 32]) -> Self {
        Self { executor, read_models, links: LinkKey::derive(secret) }
    }
}

/// Whoever accepts an invitation, with the one permission that its link gives.
pub(crate) fn acceptor(link: &Link) -> Caller {
    follower(link.tenant, format!("invitation:{}", link.id), "user:invitation:accept")
}

/// Whoever shows that an address is theirs, with the one permission that the link gives.
pub(crate) fn verifier(link: &Link) -> Caller {
    owner(link.tenant, link.id.into())
}

/// Whoever asks for an account.
fn registrant(tenant: TenantId) -> Caller {
    follower(tenant, "registration".to_owned(), "user:registration:request")
}

/// Whoever reads what is mailed to a user.
fn owner(tenant: TenantId, user: UserId) -> Caller {
    follower(tenant, user.to_string(), "user:email:verify")
}

fn follower(tenant: TenantId, subject: String, permission: &'static str) -> Caller {
    let grant = Grant { permission, roles: &[Role::Viewer], meaning: "" };
    Caller::new(tenant, subject, &[Role::Viewer], &[grant])
}

#[async_trait]
impl Addressees for UserMailedLinks {
    async fn addressee(&self, tenant: TenantId, user: UserId) -> Result<Option<Addressee>, Refusal> {
        let found = self.executor.load::<User>(&owner(tenant, user), &user.to_string()).await?;
        let present = found.map(|(state, _)| state).filter(|state| state.status.is_present());
        Ok(present.map(|state| addressee(&state)))
    }
}

/// Where mail for a user goes.
pub(crate) fn addressee(user: &User) -> Addressee {
    Addressee {
        name: user.profile.name.reveal().clone(),
        email: user.login.email.reveal().clone(),
        email_verified: user.email_verified,
        may_sign_in: user.may_sign_in(),
    }
}

#[async_trait]
impl MailedLinks for UserMailedLinks {
    fn tenant(&self, link: &str) -> Option<TenantId> {
        let of = |purpose| self.links.read(purpose, link);
        of(Purpose::Invitation).or_else(|| of(Purpose::Email)).map(|link| link.tenant)
    }

    async fn invited(&self, link: &str) -> Result<Option<Invited>, Refusal> {
        let Some(link) = self.links.read(Purpose::Invitation, link) else { return Ok(None) };
        let found = self.executor.load::<Invitation>(&acceptor(&link), &link.id.to_string()).await?;
        let good = found.filter(|(state, _)| state.link(link.turn, self.executor.now()).is_ok());
        Ok(good.map(|(state, _)| Invited {
            tenant: link.tenant,
            email: state.email.reveal().clone(),
            name: state.name.as_ref().map(|name| name.reveal().clone()),
            by_policy: state.by_policy,
        }))
    }

    async fn accept(&self, link: &str, name: &str) -> Result<Option<Person>, Refusal> {
        let Some(link) = self.links.read(Purpose::Invitation, link) else { return Ok(None) };
        let accept = AcceptInvitation { invitation: link.id.into(), turn: link.turn, name: name.to_owned() };
        let done = match self.executor.run(&acceptor(&link), &accept).await {
            Err(refusal) if refusal.code() == NOT_GOOD => return Ok(None),
            done => done?,
        };
        let Acceptance::Accepted { user } = done.answer else { return Ok(None) };
        let late =
            || Refusal::unavailable("directory_behind", "you are registered, but the directory does not know it yet");
        self.read_models.wait_for(link.tenant, done.position, PATIENCE).await.map_err(|_| late())?;
        let person = UserDirectory::new(self.read_models.clone()).by_id(link.tenant, user).await;
        person.map_err(|_| late())?.ok_or_else(late).map(Some)
    }

    async fn verify_email(&self, link: &str) -> Result<bool, Refusal> {
        let Some(link) = self.links.read(Purpose::Email, link) else { return Ok(false) };
        let verify = VerifyEmail { user: link.id.into(), turn: link.turn };
        match self.executor.run(&verifier(&link), &verify).await {
            Err(refusal) if refusal.code() == NOT_GOOD => Ok(false),
            done => Ok(done?.answer.is_none()),
        }
    }

    async fn lets_register(&self, tenant: TenantId) -> Result<bool, Refusal> {
        let found = self.executor.load::<RegistrationPolicy>(&registrant(tenant), &tenant.to_string()).await?;
        Ok(found.is_some_and(|(policy, _)| policy.is_open()))
    }

    async fn register(&self, tenant: TenantId, email: &str) -> Result<bool, Refusal> {
        let request = RequestRegistration { email: email.to_owned() };
        match self.executor.run(&registrant(tenant), &request).await {
            Ok(done) => Ok(done.answer != Registration::Refused),
            // Another request of theirs was faster.
            Err(refusal) if ["login_taken", "invited_already"].contains(&refusal.code()) => Ok(true),
            Err(refusal) => Err(refusal),
        }
    }

    async fn show_email(&self, tenant: TenantId, user: UserId, email: &str) -> Result<bool, Refusal> {
        let show = ShowEmail { user, email: email.to_owned() };
        match self.executor.run(&owner(tenant, user), &show).await {
            Ok(_) => Ok(true),
            Err(refusal) if NOT_THEIRS.contains(&refusal.code()) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }
}

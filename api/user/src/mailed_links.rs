//! What people can do with a link from an e-mail of ours, for the REST operations and for pages (the port `face::MailedLinks`).
//! People who follow a link have no token: the link, which only this service can issue, identifies them.

use std::sync::Arc;

use async_trait::async_trait;
use executor::Executor;
use face::{Addressee, Addressees, Invited, MailedLinks, Person};
use kernel::{Caller, Grant, Machines, Refusal, Role, TenantId, UserId};
use projector::ReadModels;
use user_aggregates::{Invitation, RegistrationPolicy, User};
use user_commands::{
    AcceptInvitation, Acceptance, Catalogue, Link, LinkKey, Purpose, Registration, RequestRegistration, ShowEmail,
    SubjectsInLog, VerifyEmail,
};

use crate::UserDirectory;

/// The code with which an invalid link is refused.
pub(crate) const NOT_GOOD: &str = "link_not_good";

/// The codes with which [`ShowEmail`] is refused if the person is no user, may not sign in, or has another address by now.
const NOT_THEIRS: [&str; 3] = ["not_found", "user_step_not_allowed", "link_not_good"];

/// Implements [`MailedLinks`] and [`Addressees`].
pub struct UserMailedLinks {
    executor: Executor,
    read_models: ReadModels,
    links: LinkKey,
    /// Looks up who sent an invitation.
    senders: SubjectsInLog,
}

impl UserMailedLinks {
    /// Writes to the user service's log, and reads its directory. The key of the links is derived from the service's own `secret`. `grants`
    /// are the permission tables of all services.
    pub fn new(
        executor: Executor,
        read_models: ReadModels,
        secret: &[u8; 32],
        grants: &[Grant],
        machines: Arc<dyn Machines>,
    ) -> Self {
        let senders = SubjectsInLog { catalogue: Catalogue::from(grants.to_vec()), machines };
        Self { executor, read_models, links: LinkKey::derive(secret), senders }
    }
}

/// The caller who accepts an invitation, with only the permission that the link grants.
pub(crate) fn acceptor(link: &Link) -> Caller {
    link_caller(link.tenant, format!("invitation:{}", link.id), "user:invitation:accept")
}

/// The caller who verifies an e-mail address, with only the permission that the link grants.
pub(crate) fn verifier(link: &Link) -> Caller {
    owner(link.tenant, link.id.into())
}

/// The caller who requests an account.
fn registrant(tenant: TenantId) -> Caller {
    link_caller(tenant, "registration".to_owned(), "user:registration:request")
}

/// The caller who receives the mail of a user, and so owns their e-mail address.
fn owner(tenant: TenantId, user: UserId) -> Caller {
    link_caller(tenant, user.to_string(), "user:email:verify")
}

fn link_caller(tenant: TenantId, subject: String, permission: &'static str) -> Caller {
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

/// The name and address for mail to a user.
pub(crate) fn addressee(user: &User) -> Addressee {
    Addressee {
        name: user.profile.name.reveal().clone(),
        email: user.login.email.reveal().clone(),
        email_verified: user.email_verified,
        verified_email: user.verified_email.as_ref().map(|email| email.reveal().clone()),
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
        let (invitation, name, senders) = (link.id.into(), name.to_owned(), self.senders.clone());
        let accept = AcceptInvitation { invitation, turn: link.turn, name, senders };
        let done = match self.executor.run(&acceptor(&link), &accept).await {
            Err(refusal) if refusal.code() == NOT_GOOD => return Ok(None),
            done => done?,
        };
        let Acceptance::Accepted { user } = done.answer else { return Ok(None) };
        let late =
            || Refusal::unavailable("directory_behind", "you are registered, but the directory does not know it yet");
        let directory = UserDirectory::new(self.read_models.clone());
        let person = directory.by_id_at(link.tenant, user, done.position).await;
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
            // A concurrent request of the same person was faster.
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

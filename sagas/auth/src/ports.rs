//! What the sagas need apart from the log; the gateway provides the adapters.

use std::sync::Arc;

use auth_aggregates::{ClientId, SessionId};
use futures::future::BoxFuture;
use kernel::{Personal, TenantId, UserId};
use mailer::Mailer;
use uuid::Uuid;

/// What the sagas need apart from the log.
#[derive(Clone)]
pub struct Ports {
    /// Sends mail.
    pub mailer: Arc<dyn Mailer>,
    /// Provides the addressee and the link of mails. The auth service does not store them.
    pub password_link_mails: Arc<dyn PasswordLinkMails>,
    /// Provides the addressee of notices, and the issuer that they name.
    pub notice_mails: Arc<dyn NoticeMails>,
    /// Notifies applications of ended sessions.
    pub notices: Arc<dyn Notices>,
}

/// The addressee and the link of a mail. Nothing of it is stored in the auth service's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordLinkMail {
    /// The address.
    pub to: Personal<String>,
    /// The person's name.
    pub name: Personal<String>,
    /// The tenant's name.
    pub tenant: String,
    /// The link. Whoever has it can set the password.
    pub link: Personal<String>,
}

/// Provides people's addresses and the links that are mailed to them.
pub trait PasswordLinkMails: Send + Sync + 'static {
    /// The mail with the link (of this turn) with which a person sets their password; `None` if there is nobody to mail it to. An error
    /// is temporary, and gives the reason.
    fn password_link(
        &self,
        tenant: TenantId,
        user: UserId,
        turn: u32,
    ) -> BoxFuture<'_, Result<Option<PasswordLinkMail>, String>>;
}

/// The addressee of a notice about a change of their account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeMail {
    /// The address that the person verified last. A later one may be that of somebody who took over the account.
    pub to: Personal<String>,
    /// The person's name.
    pub name: Personal<String>,
    /// The tenant's name.
    pub tenant: String,
    /// The tenant's issuer: the beginning of the addresses of its pages.
    pub issuer: String,
}

/// Provides people's addresses for notices.
pub trait NoticeMails: Send + Sync + 'static {
    /// To whom a person's notices go; `None` if there is nobody: the person was removed or never verified an address, or nobody can use the
    /// tenant now. An error is temporary, and gives the reason.
    fn notice_mail(&self, tenant: TenantId, user: UserId) -> BoxFuture<'_, Result<Option<NoticeMail>, String>>;
}

/// A notice to an application that sessions of a person have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// The notice's id: the same for each repetition.
    pub id: Uuid,
    /// The application.
    pub client: ClientId,
    /// The person whose session ended.
    pub user: UserId,
    /// The session; `None`: all sessions of the person.
    pub session: Option<SessionId>,
}

/// Notifies applications.
pub trait Notices: Send + Sync + 'static {
    /// Notifies an application, if it asked for such notices. An error is temporary, and gives the reason.
    fn logged_out(&self, tenant: TenantId, notice: LoggedOut) -> BoxFuture<'_, Result<(), String>>;
}

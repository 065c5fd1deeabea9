//! The queries of the auth service.

use face::graphql::{Context, Node};
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::client::{self, Client, ClientConnection, ClientFilter};
use super::denied_access::{self, DeniedAccessConnection};
use super::machine::{self, Machine, MachineConnection, MachineFilter};
use super::refused_sign_in::{self, RefusedSignInConnection};
use super::saml_connection::{self, SamlConnectionConnection};
use super::session::{self, SignInSessionConnection};

/// Machines and their keys, applications, SAML connections, sessions, refused sign-ins and denied requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthQuery;

/// Machines and their keys, applications, SAML connections, sessions, refused sign-ins and denied requests.
#[graphql_object(context = Context)]
impl AuthQuery {
    /// A machine by id; `null` if unknown.
    async fn machine(context: &Context, id: Uuid) -> FieldResult<Option<Machine>> {
        Machine::of(context, Some(id)).await
    }

    /// Machines, by name.
    async fn machines(
        context: &Context,
        filter: Option<MachineFilter>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<MachineConnection>> {
        machine::list(context, filter, first, after).await.map(Some)
    }

    /// An application that signs users in, by id; `null` if unknown.
    async fn client(context: &Context, id: Uuid) -> FieldResult<Option<Client>> {
        Client::of(context, Some(id)).await
    }

    /// Applications that sign users in, by name.
    async fn clients(
        context: &Context,
        filter: Option<ClientFilter>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<ClientConnection>> {
        client::list(context, filter, first, after).await.map(Some)
    }

    /// Identity providers that sign users in, earliest connected first.
    async fn saml_connections(
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<SamlConnectionConnection>> {
        saml_connection::list(context, first, after).await.map(Some)
    }

    /// Sessions of a user, most recent first, including ended ones.
    async fn sessions(
        context: &Context,
        user_id: Uuid,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<SignInSessionConnection>> {
        session::of_user(context, user_id, first, after).await.map(Some)
    }

    /// Refused sign-in attempts, most recent first: those for a user's account, or without `userId` those that belong to no account.
    async fn refused_sign_ins(
        context: &Context,
        user_id: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<RefusedSignInConnection>> {
        refused_sign_in::list(context, user_id, first, after).await.map(Some)
    }

    /// Denied requests of known callers, most recent first: those of one user or machine, or of all without `subject`.
    async fn denied_accesses(
        context: &Context,
        subject: Option<String>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<DeniedAccessConnection>> {
        denied_access::list(context, subject, first, after).await.map(Some)
    }
}

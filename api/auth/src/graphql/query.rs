//! Questions about signing in.

use face::graphql::Context;
use juniper::{FieldResult, graphql_object};
use uuid::Uuid;

use super::client::{self, Client, ClientConnection, ClientFilter};
use super::denied_access::{self, DeniedAccessConnection};
use super::machine::{self, Machine, MachineConnection, MachineFilter};
use super::refused_sign_in::{self, RefusedSignInConnection};
use super::saml_connection::{self, SamlConnectionConnection};
use super::session::{self, SignInSessionConnection};

/// Machines and their keys, and where people are signed in.
#[derive(Clone, Copy, Debug, Default)]
pub struct AuthQuery;

/// Machines and their keys, and where people are signed in.
#[graphql_object(context = Context)]
impl AuthQuery {
    /// A machine; `null`: unknown.
    async fn machine(context: &Context, id: Uuid) -> FieldResult<Option<Machine>> {
        Machine::of(context, id).await
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

    /// An application that signs people in; `null`: unknown.
    async fn client(context: &Context, id: Uuid) -> FieldResult<Option<Client>> {
        Client::of(context, id).await
    }

    /// Applications that sign people in, by name.
    async fn clients(
        context: &Context,
        filter: Option<ClientFilter>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<ClientConnection>> {
        client::list(context, filter, first, after).await.map(Some)
    }

    /// The identity providers that sign people in, first connected first.
    async fn saml_connections(
        context: &Context,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<SamlConnectionConnection>> {
        saml_connection::list(context, first, after).await.map(Some)
    }

    /// The sessions of a person, last begun first, ended ones included: when, from where and by what they signed in.
    async fn sessions(
        context: &Context,
        user_id: Uuid,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<SignInSessionConnection>> {
        session::of_user(context, user_id, first, after).await.map(Some)
    }

    /// The attempts to sign in that were refused, last tried first: those at a person's account, or without `userId` those at nobody's.
    async fn refused_sign_ins(
        context: &Context,
        user_id: Option<Uuid>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<RefusedSignInConnection>> {
        refused_sign_in::list(context, user_id, first, after).await.map(Some)
    }

    /// What callers who are known were denied, newest first: those of a user or a machine, or without `subject` all.
    async fn denied_accesses(
        context: &Context,
        subject: Option<String>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<String>,
    ) -> FieldResult<Option<DeniedAccessConnection>> {
        denied_access::list(context, subject, first, after).await.map(Some)
    }
}

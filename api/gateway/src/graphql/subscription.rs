//! GET: WebSockets with graphql-transport-ws, for subscriptions and other operations, or else the GraphiQL page.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use auth_api::trust::Seen;
use face::graphql::Context;
use face::{Denied, Incoming, MinPositions, Problem};
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use juniper::http::GraphQLRequest;
use juniper::{DefaultScalarValue, ExecutionError, OperationType, ValidatedOperation, Value as GraphQlValue};
use kernel::{Caller, Refusal};
use poem::endpoint::make;
use poem::http::{HeaderMap, HeaderValue, header};
use poem::web::websocket::{Message, WebSocket, WebSocketConfig, WebSocketStream};
use poem::{Endpoint, FromRequest, IntoResponse, Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::failure::{refused, rejected};
use super::message::{self, ClientMessage, CloseReason};
use super::operations::{OperationKey, Operations};
use super::request::ParsedRequest;
use super::{Engine, explorer};
use crate::auth::Bearer;
use crate::auth::denials::of_fields;
use crate::front::failure::panicked;
use crate::front::{TENANT, is_of};

const PROTOCOL: &str = "graphql-transport-ws";

/// How long a client may take to send `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The endpoint for GET: a WebSocket if the request asks for an upgrade, the explorer otherwise.
pub fn endpoint(engine: Arc<Engine>) -> impl Endpoint<Output = Response> {
    make(move |request: Request| {
        let engine = engine.clone();
        async move {
            if request.headers().contains_key(header::UPGRADE) {
                upgrade(engine, request).await
            } else {
                Ok(explorer::page(&request)?)
            }
        }
    })
}

async fn upgrade(engine: Arc<Engine>, request: Request) -> poem::Result<Response> {
    let incoming = Incoming::of(&request).map_err(Problem::from)?;
    let (bearer, most) = (request.extensions().get::<Bearer>().cloned(), incoming.limits.body);
    let seen = request.extensions().get::<Seen>().cloned();
    let seen = seen.unwrap_or(Seen { request: incoming.id, address: None, agent: None });
    let headers = request.headers().clone();
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    if !offered.is_some_and(|offered| offered.split(',').any(|protocol| protocol.trim() == PROTOCOL)) {
        let refusal = Refusal::invalid("websocket_protocol", format!("offer the WebSocket subprotocol {PROTOCOL}"))
            .with("allowed", PROTOCOL);
        return Err(Problem::from(refusal).into());
    }
    // A message has the same size limit as a request body. A longer one ends the connection before it is read.
    let config = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
    let websocket = WebSocket::from_request_without_body(&request).await?.config(config);
    let upgraded = websocket.protocols([PROTOCOL]).on_upgrade(move |stream| async move {
        Connection::new(engine, bearer, seen, headers).run(stream).await;
    });
    Ok(upgraded.into_response())
}

/// One client's connection.
struct Connection {
    engine: Arc<Engine>,
    /// The token in the header of the upgrade request, if there was one.
    bearer: Option<Bearer>,
    /// The upgrade request's data for records of denials.
    seen: Seen,
    /// The headers of the upgrade request, one of which may name the tenant that is meant.
    headers: HeaderMap,
    /// None before `connection_init`.
    client: Option<Client>,
    /// Returns when the connection has to end: before `connection_init` after its timeout, then when the token becomes invalid.
    ended: BoxFuture<'static, ()>,
    operations: Operations,
    outbox: mpsc::Sender<Outgoing>,
    outgoing: Option<mpsc::Receiver<Outgoing>>,
}

/// The authenticated client.
#[derive(Clone)]
struct Client {
    caller: Caller,
    /// Identifies the client's token: each operation counts against its rate limit.
    token: u64,
}

/// A message of an operation to the client.
struct Outgoing {
    operation: OperationKey,
    message: Message,
    /// Whether it is the operation's last message, after which its id is free again.
    is_last: bool,
}

impl Connection {
    fn new(engine: Arc<Engine>, bearer: Option<Bearer>, seen: Seen, headers: HeaderMap) -> Self {
        let (outbox, outgoing) = mpsc::channel(64);
        let ended = tokio::time::sleep(INIT_TIMEOUT).boxed();
        let (operations, outgoing) = (Operations::default(), Some(outgoing));
        Self { engine, bearer, seen, headers, client: None, ended, operations, outbox, outgoing }
    }

    async fn run(mut self, stream: WebSocketStream) {
        let Some(mut outgoing) = self.outgoing.take() else { return };
        let (mut sink, mut source) = stream.split();
        let stop = self.engine.stop.clone();
        let every = self.engine.keep_alive;
        let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let closing = loop {
            let send = tokio::select! {
                incoming = source.next() => match incoming {
                    Some(Ok(Message::Text(text))) => match self.handle_message(&text).await {
                        Ok(answer) => answer,
                        Err(reason) => break Some(reason),
                    },
                    Some(Ok(Message::Binary(_))) => break Some(CloseReason::BadMessage),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                },
                Some(Outgoing { operation, message, is_last }) = outgoing.recv() => {
                    self.operations.passes(&operation, is_last).then_some(message)
                }
                _ = keep_alive.tick() => Some(message::ping()),
                () = &mut self.ended => break Some(self.end_reason()),
                () = stop.cancelled() => break Some(CloseReason::GoingAway),
            };
            let Some(message) = send else { continue };
            // First whether the token has ended: the message may have waited for a slow client, and be of what happened after that.
            tokio::select! {
                biased;
                () = &mut self.ended => break Some(self.end_reason()),
                sent = sink.send(message) => if sent.is_err() { break None },
            }
        };
        // Not only when the client, which may be slow, has taken the close frame.
        self.operations = Operations::default();
        if let Some(reason) = closing {
            // Fails if the client is already gone, which is no error.
            drop(sink.send(reason.frame()).await);
        }
    }

    /// Why the connection has to end now that `ended` has returned.
    const fn end_reason(&self) -> CloseReason {
        if self.client.is_some() { CloseReason::Forbidden } else { CloseReason::InitTimeout }
    }

    /// Handles a message of the client. Returns the message to answer with, if any, or the reason to close the connection.
    async fn handle_message(&mut self, text: &str) -> Result<Option<Message>, CloseReason> {
        let message = serde_json::from_str(text).map_err(|_| CloseReason::BadMessage)?;
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload.as_ref()).await.map(Some),
            ClientMessage::Ping { payload } => Ok(Some(message::pong(payload))),
            ClientMessage::Pong { .. } => Ok(None),
            ClientMessage::Subscribe { id, payload: ParsedRequest(request) } => self.subscribe(id, request),
            ClientMessage::Complete { id } => {
                self.operations.complete(&id);
                Ok(None)
            }
        }
    }

    /// Authenticates the client. The token is in the payload, or else in the header; either may name the tenant that is meant.
    async fn init(&mut self, payload: Option<&serde_json::Map<String, Value>>) -> Result<Message, CloseReason> {
        if self.client.is_some() {
            return Err(CloseReason::TooManyInits);
        }
        let given = given_as_headers(payload)?;
        let verifier = self.engine.verifier.clone();
        let bearer = match given.get(header::AUTHORIZATION) {
            Some(header) => {
                let verified = verifier.verify_header(header.as_bytes()).await.map_err(|_| CloseReason::Forbidden)?;
                Bearer::new(header.clone(), verified)
            }
            None => self.bearer.take().ok_or(CloseReason::Forbidden)?,
        };
        if [&self.headers, &given].into_iter().any(|headers| !is_of(bearer.verified.caller.tenant(), headers)) {
            return Err(CloseReason::Forbidden);
        }
        self.client = Some(Client { caller: bearer.verified.caller.clone(), token: bearer.verified.token });
        self.ended = async move { verifier.ended(bearer).await }.boxed();
        Ok(message::ack())
    }

    /// Starts an operation. If it exceeds the rate limit, only the operation is refused, as a request would be.
    fn subscribe(&mut self, id: String, request: GraphQLRequest) -> Result<Option<Message>, CloseReason> {
        let Client { caller, token } = self.client.clone().ok_or(CloseReason::Unauthorized)?;
        if self.operations.contains(&id) {
            return Err(CloseReason::AlreadyExists);
        }
        if self.operations.count() >= self.engine.subscriptions {
            return Err(CloseReason::TooMany);
        }
        let allowance = self.engine.rates.check(caller.tenant(), token);
        if let Some(problem) = allowance.and_then(|allowance| allowance.refusal()) {
            return Ok(Some(message::error(&id, &refused(problem.refusal()))));
        }
        let engine = self.engine.clone();
        let outbox = self.outbox.clone();
        let seen = self.seen.clone();
        let run = |operation: OperationKey| async move {
            let context = engine.context(caller, MinPositions::default());
            let running = run_operation(&engine, &request, &context, &seen, &operation, &outbox);
            let message = match AssertUnwindSafe(running).catch_unwind().await {
                Ok(Ok(())) => message::complete(operation.id()),
                Ok(Err(errors)) => message::error(operation.id(), &errors),
                // As for a request: the client must not wait for what does not come.
                Err(_) => message::error(operation.id(), &refused(&panicked())),
            };
            context.renew().await;
            // Fails if the connection is gone, with all its operations.
            drop(outbox.send(Outgoing { operation, message, is_last: true }).await);
        };
        self.operations.begin(id, |operation| tokio::spawn(run(operation)).abort_handle());
        Ok(None)
    }
}

/// The members of `connection_init` that stand for headers, because browsers can't set those of a WebSocket: the token, and the tenant that
/// is meant.
fn given_as_headers(payload: Option<&serde_json::Map<String, Value>>) -> Result<HeaderMap, CloseReason> {
    let mut given = HeaderMap::new();
    for (name, value) in payload.into_iter().flatten() {
        let understood =
            [header::AUTHORIZATION, TENANT].into_iter().find(|known| name.eq_ignore_ascii_case(known.as_str()));
        let Some(understood) = understood else { continue };
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
        // Also of two that differ only in their case, of which one would be ignored.
        if given.insert(understood, value.ok_or(CloseReason::Forbidden)?).is_some() {
            return Err(CloseReason::Forbidden);
        }
    }
    Ok(given)
}

/// Executes an operation, and sends its results until it ends.
///
/// # Errors
/// The GraphQL error list of an operation that can't be executed.
async fn run_operation(
    engine: &Engine,
    request: &GraphQLRequest,
    context: &Context,
    seen: &Seen,
    of: &OperationKey,
    outbox: &mpsc::Sender<Outgoing>,
) -> Result<(), Value> {
    let result = |payload: &Value| {
        let message = message::next(of.id(), payload);
        outbox.send(Outgoing { operation: of.clone(), message, is_last: false })
    };
    engine.limits.check(&engine.schema, request).map_err(|refusal| refused(&refusal))?;
    let name = request.operation_name.as_deref();
    // What a subscription is denied again with each event is one denial.
    let mut noted: Vec<Denied> = Vec::new();
    let mut note = |errors: &[ExecutionError<DefaultScalarValue>]| {
        let mut denied = of_fields(&request.query, errors);
        denied.retain(|one| !noted.contains(one));
        engine.recorder.record(context.caller(), seen, "graphql", &denied);
        noted.append(&mut denied);
    };
    let operation = ValidatedOperation::new(&request.query, name, &engine.schema).map_err(|error| rejected(&error))?;
    if operation.operation_type() != OperationType::Subscription {
        let answer = tokio::time::timeout(engine.timeout, request.execute(&engine.schema, context)).await;
        let answer = answer.map_err(|_| refused(&Refusal::timeout("query_timeout", "the query took too long")))?;
        let payload = serde_json::to_value(&answer).unwrap_or_default();
        let (_, errors) = answer.into_result().map_err(|error| rejected(&error))?;
        note(&errors);
        drop(result(&payload).await);
        return Ok(());
    }
    let (streams, failed) =
        operation.resolve_into_stream(&request.variables(), context).await.map_err(|error| rejected(&error))?;
    note(&failed);
    if !failed.is_empty() {
        return Err(serde_json::to_value(&failed).unwrap_or_default());
    }
    // A subscription has one root field: others are refused (`single_root`).
    let GraphQlValue::Object(fields) = streams else { return Ok(()) };
    for (field, stream) in fields {
        let GraphQlValue::Scalar(mut stream) = stream else { continue };
        while let Some(item) = stream.next().await {
            // The item is complete. Its database transactions end before it is sent, because the client may be slow, and the next item
            // may be long in coming.
            context.renew().await;
            let (data, mut errors) = match item {
                // A field that can't be null has failed, and with it all that is around it.
                Ok(value) if value.is_null() => (Value::Null, Vec::new()),
                Ok(value) => (json!({ &*field: value }), Vec::new()),
                Err(failed) => (Value::Null, failed),
            };
            errors.append(&mut context.take_errors());
            note(&errors);
            let payload =
                if errors.is_empty() { json!({ "data": data }) } else { json!({ "data": data, "errors": errors }) };
            if result(&payload).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

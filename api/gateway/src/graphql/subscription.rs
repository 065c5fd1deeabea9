//! Subscriptions, and whatever else is asked, over graphql-transport-ws; GraphiQL for browsers that just look.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use auth_api::trust::Seen;
use face::graphql::Context;
use face::{Incoming, MinPositions, Problem};
use futures::future::BoxFuture;
use futures::{FutureExt, SinkExt, StreamExt};
use juniper::http::GraphQLRequest;
use juniper::{DefaultScalarValue, ExecutionError, OperationType, ValidatedOperation, Value as GraphQlValue};
use kernel::{Caller, Refusal};
use poem::endpoint::make;
use poem::http::{HeaderValue, header};
use poem::web::websocket::{Message, WebSocket, WebSocketConfig, WebSocketStream};
use poem::{Endpoint, FromRequest, IntoResponse, Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::failure::{not_taken, refused};
use super::message::{self, ClientMessage, Ending};
use super::request::Asked;
use super::{Engine, explorer};
use crate::auth::Bearer;
use crate::auth::denials::of_fields;

const PROTOCOL: &str = "graphql-transport-ws";

/// How long a client may take to say who it is.
const INIT_PATIENCE: Duration = Duration::from_secs(10);

/// Answers GET: a websocket if asked for one, the explorer otherwise.
pub fn endpoint(engine: Arc<Engine>) -> impl Endpoint<Output = Response> {
    make(move |request: Request| {
        let engine = engine.clone();
        async move {
            if request.headers().contains_key(header::UPGRADE) {
                upgrade(engine, request).await
            } else {
                Ok(explorer::page())
            }
        }
    })
}

async fn upgrade(engine: Arc<Engine>, request: Request) -> poem::Result<Response> {
    let incoming = Incoming::of(&request).map_err(Problem::from)?;
    let (bearer, most) = (request.extensions().get::<Bearer>().cloned(), incoming.limits.body);
    let seen = request.extensions().get::<Seen>().cloned();
    let seen = seen.unwrap_or(Seen { request: incoming.id, address: None, agent: None });
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    if !offered.is_some_and(|offered| offered.split(',').any(|protocol| protocol.trim() == PROTOCOL)) {
        let refusal = Refusal::invalid("websocket_protocol", format!("offer the WebSocket subprotocol {PROTOCOL}"))
            .with("allowed", PROTOCOL);
        return Err(Problem::from(refusal).into());
    }
    // A message is an operation, as a body is; a longer one ends the connection before it is read.
    let config = WebSocketConfig::default().max_message_size(Some(most)).max_frame_size(Some(most));
    let websocket = WebSocket::from_request_without_body(&request).await?.config(config);
    let upgraded = websocket.protocols([PROTOCOL]).on_upgrade(move |stream| async move {
        Connection::new(engine, bearer, seen).run(stream).await;
    });
    Ok(upgraded.into_response())
}

/// One client's connection.
struct Connection {
    engine: Arc<Engine>,
    /// The token in the header of the request, if there was one.
    bearer: Option<Bearer>,
    /// The request, for what is noted of it.
    seen: Seen,
    client: Option<Client>,
    /// Returns when the connection has to end: before the client said who it is, after a while; then, with its token.
    ended: BoxFuture<'static, ()>,
    operations: HashMap<String, AbortHandle>,
    outbox: mpsc::Sender<Outgoing>,
    outgoing: Option<mpsc::Receiver<Outgoing>>,
}

/// Who is at the other end, since they said so.
#[derive(Clone)]
struct Client {
    caller: Caller,
    /// Which token they came with: each operation counts against its limit.
    token: u64,
}

/// What an operation has to say.
enum Outgoing {
    Result(Message),
    /// Its last word; its name is free again.
    Ended(String, Message),
}

impl Connection {
    fn new(engine: Arc<Engine>, bearer: Option<Bearer>, seen: Seen) -> Self {
        let (outbox, outgoing) = mpsc::channel(64);
        let ended = tokio::time::sleep(INIT_PATIENCE).boxed();
        let (operations, outgoing) = (HashMap::new(), Some(outgoing));
        Self { engine, bearer, seen, client: None, ended, operations, outbox, outgoing }
    }

    async fn run(mut self, stream: WebSocketStream) {
        let Some(mut outgoing) = self.outgoing.take() else { return };
        let (mut sink, mut source) = stream.split();
        let stop = self.engine.stop.clone();
        let every = self.engine.keep_alive;
        let mut keep_alive = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let ending = loop {
            let send = tokio::select! {
                incoming = source.next() => match incoming {
                    Some(Ok(Message::Text(text))) => match self.hear(&text).await {
                        Ok(answer) => answer,
                        Err(ending) => break Some(ending),
                    },
                    Some(Ok(Message::Binary(_))) => break Some(Ending::BadMessage),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break None,
                },
                Some(outgoing) = outgoing.recv() => Some(match outgoing {
                    Outgoing::Result(message) => message,
                    Outgoing::Ended(id, message) => {
                        self.operations.remove(&id);
                        message
                    }
                }),
                _ = keep_alive.tick() => Some(message::ping()),
                () = &mut self.ended => {
                    break Some(if self.client.is_some() { Ending::Forbidden } else { Ending::InitTimeout });
                }
                () = stop.cancelled() => break Some(Ending::GoingAway),
            };
            if let Some(message) = send
                && sink.send(message).await.is_err()
            {
                break None;
            }
        };
        if let Some(ending) = ending {
            // The client may be gone already; there is nobody else to tell.
            drop(sink.send(ending.frame()).await);
        }
    }

    async fn hear(&mut self, text: &str) -> Result<Option<Message>, Ending> {
        let message = serde_json::from_str(text).map_err(|_| Ending::BadMessage)?;
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload.as_ref()).await.map(Some),
            ClientMessage::Ping { payload } => Ok(Some(message::pong(payload))),
            ClientMessage::Pong { .. } => Ok(None),
            ClientMessage::Subscribe { id, payload: Asked(request) } => self.subscribe(id, request),
            ClientMessage::Complete { id } => {
                if let Some(operation) = self.operations.remove(&id) {
                    operation.abort();
                }
                Ok(None)
            }
        }
    }

    /// The token stands in the payload, because a browser can't set the header of a websocket; or in the header.
    async fn init(&mut self, payload: Option<&serde_json::Map<String, Value>>) -> Result<Message, Ending> {
        if self.client.is_some() {
            return Err(Ending::TooManyInits);
        }
        let given = payload.and_then(|payload| {
            payload
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
                .and_then(|(_, value)| value.as_str())
        });
        let verifier = self.engine.verifier.clone();
        let bearer = match given {
            Some(header) => {
                let header = HeaderValue::from_str(header).map_err(|_| Ending::Forbidden)?;
                let verified = verifier.verify_header(header.as_bytes()).await.map_err(|_| Ending::Forbidden)?;
                Bearer::new(header, verified)
            }
            None => self.bearer.take().ok_or(Ending::Forbidden)?,
        };
        self.client = Some(Client { caller: bearer.verified.caller.clone(), token: bearer.verified.token });
        self.ended = async move { verifier.ended(bearer).await }.boxed();
        Ok(message::ack())
    }

    /// Begins an operation. One that comes too soon after others is refused by itself, as a request would be.
    fn subscribe(&mut self, id: String, request: GraphQLRequest) -> Result<Option<Message>, Ending> {
        let Client { caller, token } = self.client.clone().ok_or(Ending::Unauthorized)?;
        if self.operations.contains_key(&id) {
            return Err(Ending::AlreadyExists);
        }
        if self.operations.len() >= self.engine.subscriptions {
            return Err(Ending::TooMany);
        }
        let allowance = self.engine.rates.check(caller.tenant(), token);
        if let Some(problem) = allowance.and_then(|allowance| allowance.refusal()) {
            return Ok(Some(message::error(&id, &refused(problem.refusal()))));
        }
        let engine = self.engine.clone();
        let outbox = self.outbox.clone();
        let (name, seen) = (id.clone(), self.seen.clone());
        let task = tokio::spawn(async move {
            let context = engine.context(caller, MinPositions::default());
            let last = match carry_out(&engine, &request, &context, &seen, &name, &outbox).await {
                Ok(()) => message::complete(&name),
                Err(errors) => message::error(&name, &errors),
            };
            context.renew().await;
            // The connection is gone: so are its operations.
            drop(outbox.send(Outgoing::Ended(name, last)).await);
        });
        self.operations.insert(id, task.abort_handle());
        Ok(None)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        for operation in self.operations.values() {
            operation.abort();
        }
    }
}

async fn carry_out(
    engine: &Engine,
    request: &GraphQLRequest,
    context: &Context,
    seen: &Seen,
    id: &str,
    outbox: &mpsc::Sender<Outgoing>,
) -> Result<(), Value> {
    engine.limits.check(&engine.schema, request).map_err(|refusal| refused(&refusal))?;
    let name = request.operation_name.as_deref();
    let note = |errors: &[ExecutionError<DefaultScalarValue>]| {
        engine.recorder.record(context.caller(), seen, "graphql", &of_fields(&request.query, errors));
    };
    let operation = ValidatedOperation::new(&request.query, name, &engine.schema).map_err(|error| not_taken(&error))?;
    if operation.operation_type() != OperationType::Subscription {
        let answer = tokio::time::timeout(engine.timeout, request.execute(&engine.schema, context)).await;
        let answer = answer.map_err(|_| refused(&Refusal::timeout("query_timeout", "the query took too long")))?;
        let payload = serde_json::to_value(&answer).unwrap_or_default();
        if let Ok((_, errors)) = answer.into_result() {
            note(&errors);
        }
        drop(outbox.send(Outgoing::Result(message::next(id, &payload))).await);
        return Ok(());
    }
    let (streams, failed) =
        operation.resolve_into_stream(&request.variables(), context).await.map_err(|error| not_taken(&error))?;
    note(&failed);
    if !failed.is_empty() {
        return Err(serde_json::to_value(&failed).unwrap_or_default());
    }
    // A subscription has one root field, by the specification and by validation.
    let GraphQlValue::Object(fields) = streams else { return Ok(()) };
    for (field, stream) in fields {
        let GraphQlValue::Scalar(mut stream) = stream else { continue };
        while let Some(item) = stream.next().await {
            // The item is complete. Whatever it read with is given back before the client, which may be slow, takes it, and
            // before the next one, which may be long in coming.
            context.renew().await;
            let payload = match item {
                Ok(value) => json!({ "data": { &*field: value } }),
                Err(failed) => json!({ "data": null, "errors": failed }),
            };
            if outbox.send(Outgoing::Result(message::next(id, &payload))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

//! A transport that knows the `initialize` handshake only, and gives each tool call its place in the order. Only here is known
//! which answers were written: that of a cancelled call never is.
//!
//! Editors probe with `server/discover` before they initialize. Whoever answers it gets a connection without unsolicited
//! notifications, and whoever dies on it is started a second time.

use super::order::{Order, Place};
use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, RequestId,
        ServerJsonRpcMessage,
    },
    transport::{IntoTransport, Transport},
};
use std::{collections::HashMap, sync::Arc};
use tokio::sync::Notify;

pub struct Legacy<T> {
    inner: T,
    initialized: bool,
    hung_up: Arc<Notify>,
    order: Order,
    /// of the calls that were not answered yet
    places: HashMap<RequestId, Arc<Place>>,
}

impl Legacy<()> {
    /// `hung_up` is told when the editor has closed its end.
    pub fn new<T, E, A>(
        inner: T,
        hung_up: Arc<Notify>,
        order: Order,
    ) -> Legacy<impl Transport<RoleServer, Error = E>>
    where
        T: IntoTransport<RoleServer, E, A>,
        E: std::error::Error + Send + Sync + 'static,
    {
        Legacy {
            inner: inner.into_transport(),
            initialized: false,
            hung_up,
            order,
            places: HashMap::new(),
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Legacy<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answered = match &item {
            ServerJsonRpcMessage::Response(response) => Some(&response.id),
            ServerJsonRpcMessage::Error(error) => error.id.as_ref(),
            _ => None,
        };
        // Before it is written: the editor may go on as soon as it is.
        if let Some(place) = answered.and_then(|id| self.places.remove(id)) {
            place.arrived();
        }
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            let Some(mut message) = self.inner.receive().await else {
                self.hung_up.notify_one();
                return None;
            };
            match &mut message {
                ClientJsonRpcMessage::Request(request) => match &mut request.request {
                    ClientRequest::InitializeRequest(_) => self.initialized = true,
                    ClientRequest::PingRequest(_) => {}
                    ClientRequest::DiscoverRequest(_) => {
                        self.refuse(&request.id, ErrorCode::METHOD_NOT_FOUND, "server/discover");
                        continue;
                    }
                    ClientRequest::CustomRequest(custom) if custom.method == "server/discover" => {
                        self.refuse(&request.id, ErrorCode::METHOD_NOT_FOUND, "server/discover");
                        continue;
                    }
                    _ if !self.initialized => {
                        self.refuse(&request.id, ErrorCode::INVALID_REQUEST, "initialize first");
                        continue;
                    }
                    ClientRequest::CallToolRequest(call) => {
                        let place = self.order.place();
                        self.places.insert(request.id.clone(), place.clone());
                        call.extensions.insert(place);
                    }
                    _ => {}
                },
                ClientJsonRpcMessage::Notification(notification) if !self.initialized => {
                    let name = match &notification.notification {
                        ClientNotification::CustomNotification(custom) => &custom.method,
                        _ => "notification",
                    };
                    tracing::debug!(name, "ignored before initialize");
                    continue;
                }
                _ if !self.initialized => continue,
                ClientJsonRpcMessage::Notification(notification) => {
                    if let ClientNotification::CancelledNotification(cancelled) =
                        &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.places.remove(id);
                    }
                }
                _ => {}
            }
            return Some(message);
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}

impl<T: Transport<RoleServer>> Legacy<T> {
    /// In a task of its own, because `receive` may be dropped half-way.
    fn refuse(&mut self, id: &RequestId, code: ErrorCode, message: &'static str) {
        let error = ErrorData::new(code, message, None);
        tokio::spawn(
            self.inner
                .send(ServerJsonRpcMessage::error(error, Some(id.clone()))),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::{CallToolResult, ContentBlock, ServerResult};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncWriteExt, duplex, split};

    /// What the editor writes for a call, and the place it gets.
    async fn place(transport: &mut impl Transport<RoleServer>) -> Arc<Place> {
        let Some(ClientJsonRpcMessage::Request(request)) = transport.receive().await else {
            panic!("a request");
        };
        let ClientRequest::CallToolRequest(call) = request.request else {
            panic!("a tool call");
        };
        call.extensions.get::<Arc<Place>>().unwrap().clone()
    }

    #[tokio::test]
    async fn an_answer_arrives_when_it_is_written_and_one_that_was_cancelled_never_does() {
        let (mut editor, ours) = duplex(65_536);
        let order = Order::default();
        let mut transport = Legacy::new(split(ours), Arc::default(), order.clone());
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
        let call = |id: u64| {
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"name\":\"wait\"}}}}\n"
            )
        };
        let cancel =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
        let lines = format!("{hello}\n{}{}{cancel}\n", call(1), call(2));
        editor.write_all(lines.as_bytes()).await.unwrap();
        transport.receive().await.unwrap();
        let arrived = Arc::new(AtomicUsize::new(0));
        for id in [1, 2] {
            let (place, arrived) = (place(&mut transport).await, arrived.clone());
            place.when_arrived(move || _ = arrived.fetch_add(id, Ordering::SeqCst));
        }
        transport.receive().await.unwrap();
        for id in [1, 2] {
            let result = CallToolResult::success(vec![ContentBlock::text("mail")]);
            let result = ServerResult::CallToolResult(result);
            let answer = ServerJsonRpcMessage::response(result, RequestId::Number(id));
            transport.send(answer).await.unwrap();
        }
        assert_eq!(arrived.load(Ordering::SeqCst), 1);
        order.empty().await;
    }
}

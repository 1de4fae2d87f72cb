//! A transport that knows the `initialize` handshake only, and gives each tool call its place in the order.
//!
//! Editors probe with `server/discover` before they initialize. Whoever answers it gets a connection without unsolicited
//! notifications, and whoever dies on it is started a second time.

use super::order::Order;
use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, ErrorData, RequestId,
        ServerJsonRpcMessage,
    },
    transport::{IntoTransport, Transport},
};
use std::sync::Arc;
use tokio::sync::Notify;

pub struct Legacy<T> {
    inner: T,
    initialized: bool,
    hung_up: Arc<Notify>,
    order: Order,
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
        }
    }
}

impl<T: Transport<RoleServer>> Transport<RoleServer> for Legacy<T> {
    type Error = T::Error;

    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
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
                        call.extensions.insert(self.order.place());
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

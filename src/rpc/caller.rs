//! Calls on a socket, from anywhere in the program.

use crate::{
    error::{Error, Result},
    sealing::{Arrived, Exchange},
};
use serde_json::{Map, Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

pub type Reply = oneshot::Sender<Result<Arrived>>;

/// Why a call on a socket has no result.
pub enum Failure {
    /// The relay's answer is an error.
    Answer(Error),
    /// The connection went away; when it was `sent`, nobody here knows whether it was carried out.
    Lost { sent: bool },
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Answer(error) => error,
            Failure::Lost { sent: false } => {
                Error::unavailable("the connection to the relay is closed")
            }
            Failure::Lost { sent: true } => Error::unavailable(
                "the connection to the relay was lost during the call: whether it was carried out is unknown",
            ),
        }
    }
}

/// Makes calls on a socket.
#[derive(Clone)]
pub struct Caller {
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) mesh: Option<String>,
    pub(super) ids: Arc<AtomicU64>,
}

/// What a caller asks of the task that owns the connection.
pub enum Command {
    Call {
        id: u64,
        frame: String,
        reply: Reply,
    },
    Cancel(u64),
    Receipt(Vec<String>),
}

impl Caller {
    /// One call; the answer may take up to 70 s. Dropping the future sends the relay a cancel.
    pub async fn call(
        &self,
        function: &str,
        arguments: &Map<String, Value>,
    ) -> std::result::Result<Arrived, Failure> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut frame = json!({"id": id, "call": function, "args": arguments});
        if let Some(mesh) = &self.mesh {
            frame["mesh"] = mesh.as_str().into();
        }
        let (reply, answer) = oneshot::channel();
        let command = Command::Call {
            id,
            frame: frame.to_string(),
            reply,
        };
        self.commands
            .send(command)
            .map_err(|_| Failure::Lost { sent: false })?;
        let mut cancel = CancelOnDrop {
            commands: &self.commands,
            id: Some(id),
        };
        match timeout(super::CALL_LIMIT, answer).await {
            Err(_) => Err(Failure::Answer(Error::unavailable(
                "no answer from the relay in 70 s",
            ))),
            Ok(answered) => {
                cancel.id = None;
                answered
                    .map_err(|_| Failure::Lost { sent: true })?
                    .map_err(Failure::Answer)
            }
        }
    }
}

impl Exchange for Caller {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        Ok(Caller::call(self, function, arguments).await?)
    }
}

impl Caller {
    /// Whether both call on the same connection.
    pub fn same(&self, other: &Caller) -> bool {
        Arc::ptr_eq(&self.ids, &other.ids)
    }
}

struct CancelOnDrop<'a> {
    commands: &'a mpsc::UnboundedSender<Command>,
    id: Option<u64>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            // Nobody is there to cancel it when the socket is gone.
            let _ = self.commands.send(Command::Cancel(id));
        }
    }
}

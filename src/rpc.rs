//! The client: HTTP and WebSocket to a relay.

mod caller;
mod frame;
mod socket;
#[cfg(test)]
mod tests;
mod transport;

use crate::{
    error::{Error, Result},
    sealing::{Arrived, Exchange},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue},
};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::{Map, Value};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

pub use caller::{Caller, Failure};
pub use socket::{Event, Socket};
pub use transport::{is_loopback, relay_url};

/// The longest a call may take: the relay answers waits after 55 s at the latest.
const CALL_LIMIT: Duration = Duration::from_secs(70);
const ANSWER_LIMIT: usize = 64 << 20;

/// Where and as whom to call.
#[derive(Clone)]
pub struct Target {
    /// The relay's URL; what [`relay_url`] accepts.
    pub relay: String,
    /// A PEM file with certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// `mt_…`
    pub bearer: Option<String>,
    /// The mesh to act in, for account keys: a name, `owner/name` or id.
    pub mesh: Option<String>,
}

/// A relay to call. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    pub target: Target,
    wire: Arc<Wire>,
}

struct Wire {
    base: String,
    connector: transport::Connector,
    http: legacy::Client<transport::Connector, Full<Bytes>>,
    catalogue: Mutex<Option<String>>,
}

/// An answer to a GET, whatever its status.
pub struct Answer {
    pub status: u16,
    /// The Date header, as sent.
    pub date: Option<String>,
    pub body: Value,
}

impl Exchange for Client {
    async fn exchange(&self, function: &str, arguments: &Map<String, Value>) -> Result<Arrived> {
        Ok(Arrived::now(Client::call(self, function, arguments).await?))
    }
}

impl Client {
    /// ME400 for a URL that is none, or one that would carry a key in the clear over the internet; connects to nothing yet.
    pub fn new(target: Target) -> Result<Client> {
        let base = relay_url(&target.relay)?;
        let connector = transport::Connector::new(&base, target.ca.as_deref())?;
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        let wire = Wire {
            base,
            connector,
            http,
            catalogue: Mutex::new(None),
        };
        Ok(Client {
            target,
            wire: Arc::new(wire),
        })
    }

    /// The same client, naming its mesh by id, as signed calls do: a name may mean another mesh to somebody else, or later.
    /// Costs a call. Without a mesh it stays as it is.
    pub async fn bound_to_mesh(&self) -> Result<Client> {
        let who = self.call("whoami", &Map::new()).await?;
        let mut bound = self.clone();
        if let Some(id) = who["mesh_id"].as_str() {
            bound.target.mesh = Some(id.to_owned());
        }
        Ok(bound)
    }

    /// One call.
    ///
    /// The relay's own error when it refuses; ME503 with a hint when it cannot be reached or does not answer in 70 s.
    pub async fn call(&self, function: &str, arguments: &Map<String, Value>) -> Result<Value> {
        let mut request = self.request(Method::POST, &format!("/rpc/{function}"))?;
        let body = serde_json::to_vec(arguments).expect("a JSON object");
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(bearer) = &self.target.bearer {
            headers.insert(AUTHORIZATION, bearer_header(bearer)?);
        }
        if let Some(mesh) = &self.target.mesh {
            let mesh = HeaderValue::from_str(mesh)
                .map_err(|_| Error::new(400, format!("{mesh:?} names no mesh")))?;
            headers.insert("mesh", mesh);
        }
        *request.body_mut() = Full::new(body.into());
        let (status, _, body) = self.send(request).await?;
        match status {
            200 => serde_json::from_slice(&body).map_err(|_| self.no_relay(status)),
            _ => Err(self.refusal(status, &body)),
        }
    }

    /// GET `path` → JSON (`/health`, `/catalogue.json` …). The status is ignored; a body that is no JSON is an error.
    pub async fn get(&self, path: &str) -> Result<Value> {
        Ok(self.probe(path).await?.body)
    }

    /// GET `path` with status and date. Sends no key.
    pub async fn probe(&self, path: &str) -> Result<Answer> {
        let (status, date, body) = self.send(self.request(Method::GET, path)?).await?;
        let body = serde_json::from_slice(&body).map_err(|_| self.no_relay(status))?;
        Ok(Answer { status, date, body })
    }

    /// The catalogue hash the last answer carried.
    pub fn catalogue_hash(&self) -> Option<String> {
        self.wire
            .catalogue
            .lock()
            .expect("nothing panics under this lock")
            .clone()
    }

    /// Opens a WebSocket and signs in; ready for calls when it returns.
    pub async fn socket(&self) -> Result<Socket> {
        socket::connect(self).await
    }

    /// The relay's URL as it is used: with a scheme and without a slash at its end.
    pub fn relay(&self) -> &str {
        &self.wire.base
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.wire.base))
            .header("user-agent", concat!("mesh/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
            .map_err(|_| Error::new(400, format!("{path:?} is no path of a relay")))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<(u16, Option<String>, Bytes)> {
        let exchange = async {
            let answer =
                self.wire
                    .http
                    .request(request)
                    .await
                    .map_err(|e| match e.is_connect() {
                        true => self.unreachable(&e),
                        false => self.broken_off(&e),
                    })?;
            let status = answer.status().as_u16();
            self.remember_catalogue(&answer);
            let date = answer
                .headers()
                .get(DATE)
                .and_then(|v| v.to_str().ok())
                .map(str::to_owned);
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
                .collect()
                .await;
            let body =
                body.map_err(|e| self.unavailable(format!("the relay broke off its answer: {e}")))?;
            Ok((status, date, body.to_bytes()))
        };
        match tokio::time::timeout(CALL_LIMIT, exchange).await {
            Ok(result) => result,
            Err(_) => Err(self.unavailable(format!(
                "no answer from the relay in {} s",
                CALL_LIMIT.as_secs()
            ))),
        }
    }

    fn remember_catalogue(&self, answer: &Response<Incoming>) {
        if let Some(hash) = answer
            .headers()
            .get("mesh-catalogue")
            .and_then(|v| v.to_str().ok())
        {
            *self
                .wire
                .catalogue
                .lock()
                .expect("nothing panics under this lock") = Some(hash.to_owned());
        }
    }

    /// The error object of an answer that is not 200.
    fn refusal(&self, status: u16, body: &[u8]) -> Error {
        match serde_json::from_slice::<Error>(body) {
            Ok(error) => error,
            Err(_) => self.no_relay(status),
        }
    }

    fn no_relay(&self, status: u16) -> Error {
        self.unavailable(format!(
            "{} answered {status}, but not as a Mesh relay does",
            self.wire.base
        ))
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        if transport::is_in_the_clear(error) {
            return transport::in_the_clear(&self.wire.base);
        }
        let cause = transport::root_cause(error);
        let error = self.unavailable(format!(
            "cannot reach the relay at {}: {cause}",
            self.wire.base
        ));
        if cause.contains("UnknownIssuer") {
            error.hint("mesh --ca FILE status")
        } else {
            error
        }
    }

    fn broken_off(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        let cause = transport::root_cause(error);
        self.unavailable(format!(
            "the relay at {} broke off before its answer: {cause}",
            self.wire.base
        ))
    }

    fn unavailable(&self, message: String) -> Error {
        let hint = if is_loopback(&self.wire.base) {
            "mesh up"
        } else {
            "mesh doctor"
        };
        Error::unavailable(message).hint(hint)
    }
}

fn bearer_header(bearer: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {bearer}"))
        .map_err(|_| Error::new(400, "the bearer holds characters that no bearer has"))?;
    value.set_sensitive(true);
    Ok(value)
}

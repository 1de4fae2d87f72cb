//! The routes.

use super::calls::{self, Answer, Request};
use super::{Relay, arguments, body, metrics, page, socket};
use crate::error::{Error, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::{convert::Infallible, net::IpAddr, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;

type Reply = Response<Full<Bytes>>;
type Incomer = hyper::Request<Incoming>;

const JSON: &str = "application/json";
const RPC: &str = "/rpc/";
const NAME_BYTES: usize = 256;

/// Answers one request. `place` is the connection's place among the 10,000; a WebSocket keeps it.
pub async fn answer(
    relay: Arc<Relay>,
    request: Incomer,
    peer: IpAddr,
    place: Arc<OwnedSemaphorePermit>,
) -> std::result::Result<Reply, Infallible> {
    let allowed = if request.uri().path().starts_with(RPC) {
        "POST"
    } else {
        "GET, HEAD"
    };
    let mut reply = match route(&relay, request, peer, place).await {
        Ok(reply) => reply,
        Err(error) => answered(&error.into()),
    };
    let is_refused_method = reply.status() == StatusCode::METHOD_NOT_ALLOWED;
    let headers = reply.headers_mut();
    if is_refused_method {
        headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
    }
    if let Ok(hash) = HeaderValue::from_str(&relay.schema.hash()) {
        headers.insert("mesh-catalogue", hash);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    Ok(reply)
}

async fn route(
    relay: &Arc<Relay>,
    request: Incomer,
    peer: IpAddr,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<Reply> {
    let path = request.uri().path().to_owned();
    if let Some(function) = path.strip_prefix(RPC) {
        allow(&request, &[Method::POST])?;
        return rpc(relay, request, function, peer).await;
    }
    let known = [
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        "/catalogue.json",
        "/join",
        "/ws",
    ];
    if !known.contains(&path.as_str()) {
        let hint = format!("curl {}/openapi.json", relay.public_url);
        return Err(Error::new(404, "there is nothing at this path").hint(hint));
    }
    allow(&request, &[Method::GET, Method::HEAD])?;
    let loaded = || {
        relay
            .schema
            .loaded()
            .ok_or_else(|| Error::unavailable("the database is away; try again"))
    };
    Ok(match path.as_str() {
        "/health" => health(relay, false),
        "/ready" => health(relay, relay.end.is_over()),
        "/metrics" => reply(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            metrics::text(relay),
        ),
        "/openapi.json" => reply(StatusCode::OK, JSON, loaded()?.openapi()),
        "/catalogue.json" => reply(StatusCode::OK, JSON, loaded()?.json.clone()),
        "/join" => page::join(),
        _ => upgrade(relay, request, peer, place).await?,
    })
}

async fn rpc(relay: &Arc<Relay>, request: Incomer, function: &str, peer: IpAddr) -> Result<Reply> {
    no_key_in_query(&request)?;
    let headers = request.headers();
    let token = bearer(headers)?;
    let mesh = text(headers, "mesh")?;
    let session = text(headers, "mesh-session")?;
    if function.is_empty() || function.len() > NAME_BYTES {
        return Err(Error::new(400, "there is no such call").hint("mesh help"));
    }
    let function = function.to_owned();
    // Kept until the answer: what is held counts.
    let (body, _memory) = body::read(relay, request).await?;
    let named = arguments::parse(&body)?;
    let text = match String::from_utf8(body) {
        Ok(text) if !named.is_empty() => text,
        _ => "{}".to_owned(),
    };
    let request = Request {
        token,
        mesh,
        session,
        function,
        arguments: text,
        write: None,
    };
    // hyper drops this when the client goes, and with it a wait.
    Ok(answered(
        &calls::start(relay, request, named, peer, None).await,
    ))
}

async fn upgrade(
    relay: &Arc<Relay>,
    mut request: Incomer,
    address: IpAddr,
    place: Arc<OwnedSemaphorePermit>,
) -> Result<Reply> {
    no_key_in_query(&request)?;
    if request.method() != Method::GET || !hyper_tungstenite::is_upgrade_request(&request) {
        return Err(Error::new(400, "this path speaks WebSocket"));
    }
    if relay.end.is_over() {
        return Err(Error::unavailable("the relay is going away"));
    }
    let token = bearer(request.headers())?;
    let mesh = text(request.headers(), "mesh")?;
    let key = match &token {
        Some(token) => socket::sign_in(relay, token, address).await?,
        None => None,
    };
    let (reply, upgrade) = hyper_tungstenite::upgrade(&mut request, Some(socket::config()))
        .map_err(|e| Error::new(400, e.to_string()))?;
    let peer = socket::Peer {
        token,
        mesh,
        address,
    };
    let relay = relay.clone();
    tokio::spawn(async move {
        match upgrade.await {
            Ok(stream) => socket::serve(relay, stream, peer, key, place),
            Err(e) => tracing::debug!("upgrade: {e}"),
        }
    });
    Ok(reply)
}

fn health(relay: &Relay, draining: bool) -> Reply {
    let mut body = json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "public_url": relay.public_url,
        "catalogue": relay.schema.hash(),
    });
    let trouble = if draining {
        Some("the relay is going away".to_owned())
    } else {
        relay.schema.trouble()
    };
    let mut status = StatusCode::OK;
    if let Some(why) = trouble {
        status = StatusCode::SERVICE_UNAVAILABLE;
        body["status"] = json!("unavailable");
        body["error"] = json!(Error::unavailable(why));
    }
    reply(status, JSON, body.to_string())
}

fn answered(answer: &Answer) -> Reply {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = reply(status, JSON, answer.body.get().to_owned());
    let headers = reply.headers_mut();
    match answer.status {
        401 => _ = headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        429 | 503 => {
            let seconds = serde_json::from_str::<Value>(answer.body.get()).ok();
            // A limit of stored things says no time: waiting does not help.
            if let Some(seconds) = seconds
                .and_then(|e| e["data"]["retry_after"].as_f64())
                .or((answer.status == 503).then_some(1.0))
            {
                headers.insert(
                    header::RETRY_AFTER,
                    HeaderValue::from(seconds.ceil().max(1.0) as u64),
                );
            }
        }
        // what is left of the body is not read
        413 => _ = headers.insert(header::CONNECTION, HeaderValue::from_static("close")),
        _ => {}
    }
    reply
}

pub fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

fn allow(request: &Incomer, methods: &[Method]) -> Result<()> {
    if methods.contains(request.method()) {
        return Ok(());
    }
    let names: Vec<_> = methods.iter().map(Method::as_str).collect();
    Err(Error::new(
        405,
        format!("this path takes {}", names.join(" and ")),
    ))
}

fn bearer(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = text(headers, "authorization")? else {
        return Ok(None);
    };
    match value.split_once(' ') {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
        {
            Ok(Some(token.trim().to_owned()))
        }
        _ => Err(
            Error::new(401, "the Authorization header must be: Bearer <token>").hint("mesh token"),
        ),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Result<Option<String>> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let wrong = |why: &str| Error::new(400, format!("the {name} header {why}"));
    let value = std::str::from_utf8(value.as_bytes())
        .map_err(|_| wrong("is not UTF-8"))?
        .trim();
    if value.len() > NAME_BYTES {
        return Err(wrong("is longer than 256 bytes"));
    }
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

/// A key in a URL ends up in logs and histories.
fn no_key_in_query(request: &Incomer) -> Result<()> {
    let query = request.uri().query().unwrap_or_default();
    let names = query.split('&').filter_map(|pair| pair.split('=').next());
    for name in names {
        if ["token", "key", "access_token"].contains(&name.to_ascii_lowercase().as_str()) {
            let text =
                "a key belongs in the Authorization header, never in the URL; revoke this one";
            return Err(Error::new(400, text));
        }
    }
    Ok(())
}

//! Accepts connections, serves HTTP on them, drains.

use super::{Relay, http};
use crate::error::Error;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const CONNECTIONS: usize = 10_000;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 16 << 10;

/// Accepts until `stop` resolves, then waits for what is open, at most 10 seconds. The 10,001st connection is closed at once.
pub async fn accept(
    relay: &Arc<Relay>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    stop: impl Future<Output = ()>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // out of file descriptors, mostly: accepting again at once would spin
                tracing::warn!("accept: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            relay.metrics.refused_connections.add(1);
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(
            relay.clone(),
            stream,
            acceptor.clone(),
            peer.ip(),
            place,
        ));
    }
    drop(listener);
    relay.end.end(Error::unavailable("the relay is going away"));
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    if timeout(DRAIN, room.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections were still open after {DRAIN:?}");
    }
}

async fn connection(
    relay: Arc<Relay>,
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    peer: IpAddr,
    place: OwnedSemaphorePermit,
) {
    let Some(acceptor) = acceptor else {
        return serve(relay, stream, peer, place).await;
    };
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve(relay, stream, peer, place).await,
        Ok(Err(e)) => tracing::debug!("TLS handshake: {e}"),
        Err(_) => tracing::debug!("TLS handshake: time out"),
    }
}

async fn serve<T>(relay: Arc<Relay>, stream: T, peer: IpAddr, place: OwnedSemaphorePermit)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // A socket outlives its HTTP connection, so the place is shared with it.
    let place = Arc::new(place);
    let service = hyper::service::service_fn({
        let relay = relay.clone();
        move |request| http::answer(relay.clone(), request, peer, place.clone())
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let end = tokio::select! {
        end = connection.as_mut() => end,
        _ = relay.end.ended() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = end {
        tracing::debug!("connection: {e}");
    }
}

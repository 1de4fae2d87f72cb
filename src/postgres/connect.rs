//! Connections to Postgres, over TCP with or without TLS or over a Unix socket; url.rs reads the URL.

use super::error::of_connecting;
use super::url::{config, describe};
use crate::error::{Error, Result};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Notification};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A connection; a task drives it until it is over.
pub struct Connection {
    pub client: Client,
    /// Every NOTIFY that arrives; closed when the connection is over.
    pub notifications: mpsc::UnboundedReceiver<Notification>,
}

/// One connection. `ca`: a PEM file with the roots to trust instead of the platform's.
/// Errors: ME400 for a bad URL, ME403 for a refused login, ME503 for the rest.
pub async fn connect(url: &str, ca: Option<&Path>) -> Result<Connection> {
    let (config, ca) = config(url, ca)?;
    let to = describe(&config);
    let refused = |e: tokio_postgres::Error| of_connecting(&e, &to);
    if needs_tls(&config) {
        let (client, connection) = config.connect(tls(ca.as_deref())?).await.map_err(refused)?;
        Ok(drive(client, connection))
    } else {
        let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
        Ok(drive(client, connection))
    }
}

/// A pool of at most `size` connections; it connects when it is asked to, so a database that is away is no error here.
pub fn pool(url: &str, ca: Option<&Path>, size: usize) -> Result<deadpool_postgres::Pool> {
    let (config, ca) = config(url, ca)?;
    let manager = if needs_tls(&config) {
        deadpool_postgres::Manager::new(config, tls(ca.as_deref())?)
    } else {
        deadpool_postgres::Manager::new(config, NoTls)
    };
    deadpool_postgres::Pool::builder(manager)
        .max_size(size)
        // The connection used last has its plans and caches at hand.
        .queue_mode(deadpool_postgres::QueueMode::Lifo)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_secs(10)))
        .create_timeout(Some(Duration::from_secs(15)))
        .recycle_timeout(Some(Duration::from_secs(5)))
        .build()
        .map_err(|e| Error::internal(e.to_string()))
}

fn needs_tls(config: &Config) -> bool {
    config.get_ssl_mode() != SslMode::Disable
        && config
            .get_hosts()
            .iter()
            .any(|host| matches!(host, Host::Tcp(_)))
}

fn drive<S, T>(client: Client, mut connection: tokio_postgres::Connection<S, T>) -> Connection
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, notifications) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => _ = sender.send(notification),
                Some(Ok(AsyncMessage::Notice(notice))) => {
                    tracing::debug!(severity = notice.severity(), "{notice}")
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    tracing::debug!("database connection lost: {error}");
                    break;
                }
                None => break,
            }
        }
    });
    Connection {
        client,
        notifications,
    }
}

fn tls(ca: Option<&Path>) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken =
        |e: rustls::Error| Error::internal(format!("TLS to the database cannot be set up: {e}"));
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(broken)?;
    let config = match ca {
        Some(path) => {
            let bad = |why: String| {
                Error::usage(format!(
                    "{} is no PEM file of certificates: {why}",
                    path.display()
                ))
            };
            let mut roots = rustls::RootCertStore::empty();
            for certificate in
                CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))?
            {
                roots
                    .add(certificate.map_err(|e| bad(e.to_string()))?)
                    .map_err(|e| bad(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("it holds none".into()));
            }
            builder.with_root_certificates(roots)
        }
        None => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(broken)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

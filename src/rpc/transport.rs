//! Connections to a relay: URL rules, name look-up, TCP, TLS.

use crate::error::{Error, Result};
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{HttpConnector, dns::Name},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tower_service::Service;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Pending<T> = Pin<Box<dyn Future<Output = std::result::Result<T, Failed>> + Send>>;
pub type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// For TCP alone, and for TCP and TLS together.
const TCP_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A relay's URL in its one spelling: scheme, host, perhaps a path, no slash at the end.
///
/// Without a scheme it is `http` for this machine and private addresses, else `https`. ME400 when it is no such URL.
pub fn relay_url(text: &str) -> Result<String> {
    let wrong = || {
        Error::new(
            400,
            format!("{text:?} is no relay URL: write https://host or http://host:port"),
        )
    };
    let text = text.trim();
    let full = match text.contains("://") {
        true => text.to_owned(),
        false if private_host(&format!("http://{text}")) == Some(true) => format!("http://{text}"),
        false => format!("https://{text}"),
    };
    let uri: Uri = full.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if !known || uri.query().is_some() || full.contains('#') || authority.as_str().contains('@') {
        return Err(wrong());
    }
    Ok(format!(
        "{}://{}{}",
        uri.scheme_str().unwrap_or("https"),
        authority,
        uri.path().trim_end_matches('/')
    ))
}

/// Whether the host of a URL is this machine.
pub fn is_loopback(url: &str) -> bool {
    match host(url) {
        Some(name) if name == "localhost" || name.ends_with(".localhost") => true,
        Some(name) => name
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified()),
        None => false,
    }
}

/// Opens TCP and, for https, TLS. Over plain http it connects to private addresses only.
#[derive(Clone)]
pub struct Connector(HttpsConnector<HttpConnector<Resolver>>);

impl Connector {
    /// For the relay at `base`, trusting the system's certificates and those in the PEM file `ca`.
    pub fn new(base: &str, ca: Option<&Path>) -> Result<Connector> {
        let encrypted = base.starts_with("https:");
        let private_only =
            !encrypted && std::env::var_os("MESH_ALLOW_HTTP").is_none_or(|v| v != "1");
        if private_only && private_host(base) == Some(false) {
            return Err(in_the_clear(base));
        }
        let mut http = HttpConnector::new_with_resolver(Resolver { private_only });
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(Duration::from_secs(30)));
        http.set_connect_timeout(Some(TCP_LIMIT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config(encrypted, ca)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Connector(https))
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failed;
    type Future = Pending<Stream>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), Failed>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match tokio::time::timeout(CONNECT_LIMIT, connecting).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer").into()),
            }
        })
    }
}

/// The system's resolver; with `private_only`, without the addresses of the open internet.
#[derive(Clone)]
struct Resolver {
    private_only: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Failed;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let private_only = self.private_only;
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let fit: Vec<_> = all
                .iter()
                .copied()
                .filter(|a| !private_only || is_private(a.ip()))
                .collect();
            match fit.is_empty() && !all.is_empty() {
                true => Err(InTheClear.into()),
                false => Ok(fit.into_iter()),
            }
        })
    }
}

#[derive(Debug)]
struct InTheClear;

impl std::fmt::Display for InTheClear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("plain http to a public address")
    }
}

impl std::error::Error for InTheClear {}

/// The refusal to send a key unencrypted.
pub fn in_the_clear(base: &str) -> Error {
    let https = base.replacen("http:", "https:", 1);
    Error::new(
        400,
        format!(
            "{base} is not encrypted and not a private address: a key sent there could be read"
        ),
    )
    .hint(format!("mesh --relay {https} status"))
}

pub fn is_in_the_clear(error: &(dyn std::error::Error + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<InTheClear>())
}

/// The innermost reason of an error, which is the one that says something.
pub fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |e| e.source())
}

/// Some(whether it is this machine or a private network) for an address, None for a name that must be looked up.
fn private_host(url: &str) -> Option<bool> {
    if is_loopback(url) {
        return Some(true);
    }
    Some(is_private(host(url)?.parse().ok()?))
}

/// Loopback, RFC 1918, carrier-grade NAT (as VPNs use it), link-local and unique local addresses.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && (b & 0xc0) == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
        }
    }
}

fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    Some(
        uri.host()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_ascii_lowercase(),
    )
}

fn tls_config(encrypted: bool, ca: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS: {e}")))?;
    // The system's certificates take milliseconds to read: not for plain http.
    if !encrypted {
        return Ok(versions
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    }
    let extra = ca.map(certificates).transpose()?.unwrap_or_default();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, provider)
        .map_err(|e| {
            Error::unavailable(format!("no certificates to trust: {e}"))
                .hint("mesh --ca FILE status")
        })?;
    Ok(versions
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |why: String| Error::new(400, format!("the CA file {}: {why}", path.display()));
    let found = CertificateDer::pem_file_iter(path)
        .map_err(|e| wrong(e.to_string()))?
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() {
        Err(wrong("holds no certificate in PEM form".into()))
    } else {
        Ok(found)
    }
}

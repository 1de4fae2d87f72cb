//! The URL or `key=value` string of a database.
//!
//! `sslmode` is disable, prefer (the default) or require; the certificate is checked, name and all, whenever TLS is used,
//! so verify-ca and verify-full mean require. Without `sslmode` a server on this machine is asked for no TLS.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

/// The parsed URL with our defaults, and the CA file: `ca`, or `sslrootcert` of the URL. Errors: ME400, which never
/// shows the URL, since it may hold a password.
pub fn config(url: &str, ca: Option<&Path>) -> Result<(Config, Option<PathBuf>)> {
    let (url, mode, root) = take_ssl(url);
    let mut config: Config = url.parse().map_err(|e: tokio_postgres::Error| {
        let why = std::error::Error::source(&e)
            .map(|e| format!(": {e}"))
            .unwrap_or_default();
        Error::usage(format!("this is no database URL{why}"))
            .hint("--database-url postgresql://user:password@host:5432/database")
    })?;
    let local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    config.ssl_mode(match mode.as_deref() {
        None if local => SslMode::Disable,
        None | Some("prefer" | "allow") => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
        Some(other) => {
            return Err(Error::usage(format!(
                "sslmode is disable, prefer or require, not {other}"
            )));
        }
    });
    if config.get_application_name().is_none() {
        config.application_name("mesh");
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    config.keepalives_idle(Duration::from_secs(30));
    config.tcp_user_timeout(Duration::from_secs(30));
    Ok((
        config,
        ca.map(Path::to_path_buf).or(root.map(PathBuf::from)),
    ))
}

/// The same URL, acting as `role` from the first statement on.
pub fn as_role(url: &str, role: &str) -> Result<String> {
    let (parsed, _) = config(url, None)?;
    let options = format!(
        "{} -c role={role}",
        parsed.get_options().unwrap_or_default()
    )
    .trim()
    .to_owned();
    Ok(
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let join = if url.contains('?') { '&' } else { '?' };
            format!("{url}{join}options={}", percent(&options))
        } else {
            format!(
                "{url} options='{}'",
                options.replace('\\', "\\\\").replace('\'', "\\'")
            )
        },
    )
}

/// A URL for a Unix socket in `directory`.
pub fn socket_url(directory: &Path, user: &str, database: &str) -> String {
    format!(
        "postgresql://{user}@{}/{database}",
        percent(&directory.to_string_lossy())
    )
}

/// What the libpq programs read instead of a URL, so no password stands in their arguments.
pub fn environment(url: &str, ca: Option<&Path>) -> Result<Vec<(&'static str, String)>> {
    let (config, ca) = config(url, ca)?;
    let mut hosts = Vec::new();
    for host in config.get_hosts() {
        hosts.push(match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(directory) => directory.to_string_lossy().into_owned(),
        });
    }
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let password = config
        .get_password()
        .map(|p| String::from_utf8_lossy(p).into_owned());
    let all = [
        ("PGHOST", Some(hosts.join(","))),
        ("PGPORT", Some(ports.join(","))),
        ("PGUSER", config.get_user().map(str::to_owned)),
        ("PGDATABASE", config.get_dbname().map(str::to_owned)),
        ("PGPASSWORD", password),
        ("PGOPTIONS", config.get_options().map(str::to_owned)),
        (
            "PGSSLROOTCERT",
            ca.as_ref().map(|path| path.display().to_string()),
        ),
        (
            "PGSSLMODE",
            Some(match (config.get_ssl_mode(), ca.is_some()) {
                (SslMode::Disable, _) => "disable".into(),
                (SslMode::Prefer, false) => "prefer".into(),
                (_, true) => "verify-full".into(),
                _ => "require".into(),
            }),
        ),
    ];
    Ok(all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect())
}

/// Takes `sslmode` and `sslrootcert` out of a URL or `key=value` string: the client library knows fewer modes than libpq.
fn take_ssl(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root) = (None, None);
    if !url.contains("sslmode") && !url.contains("sslrootcert") {
        return (url.to_owned(), mode, root);
    }
    let mut keep = |part: &str, value_of: &dyn Fn(&str) -> String| {
        let taken = match part.split_once('=') {
            Some(("sslmode", value)) => mode.insert(value_of(value)),
            Some(("sslrootcert", value)) => root.insert(value_of(value)),
            _ => return true,
        };
        taken.is_empty()
    };
    let rest = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        match url.split_once('?') {
            None => url.to_owned(),
            Some((base, query)) => {
                let kept: Vec<_> = query
                    .split('&')
                    .filter(|part| keep(part, &unpercent))
                    .collect();
                if kept.is_empty() {
                    base.to_owned()
                } else {
                    format!("{base}?{}", kept.join("&"))
                }
            }
        }
    } else {
        let unquoted = |value: &str| value.trim_matches('\'').to_owned();
        url.split_whitespace()
            .filter(|part| keep(part, &unquoted))
            .collect::<Vec<_>>()
            .join(" ")
    };
    (rest, mode, root)
}

/// `host:port/database` for people: no user, no password.
pub fn describe(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(directory)) => return directory.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(b as char)
            }
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

fn unpercent(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail
            .get(..2)
            .and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = &tail[2..];
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sslmode_means_what_libpq_means_or_more() {
        let mode = |url: &str| config(url, None).unwrap().0.get_ssl_mode();
        assert_eq!(mode("postgresql://u@db.example/x"), SslMode::Prefer);
        assert_eq!(mode("postgresql://u@127.0.0.1/x"), SslMode::Disable);
        assert_eq!(
            mode("host=localhost user=u sslmode=require"),
            SslMode::Require
        );
        assert_eq!(
            mode("postgres://u@db/x?sslmode=verify-full&application_name=a"),
            SslMode::Require
        );
        let (_, ca) = config("postgres://u@db/x?sslrootcert=%2Fa%20b", None).unwrap();
        assert_eq!(ca, Some(PathBuf::from("/a b")));
        assert!(config("postgres://u@db/x?sslmode=maybe", None).is_err());
    }

    #[test]
    fn a_bad_url_is_not_repeated() {
        let error = config("postgresql://u:hunter2@:x/", None).unwrap_err();
        assert_eq!(error.code, "ME400");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn a_role_is_added_to_what_is_there() {
        for url in [
            "postgres://u@h/d?options=-c%20jit%3Doff",
            "host=h user=u options='-c jit=off'",
            "postgres://u@h",
        ] {
            let with = as_role(url, "mesh_relay").unwrap();
            let (config, _) = config(&with, None).unwrap();
            assert!(
                config
                    .get_options()
                    .unwrap()
                    .ends_with("-c role=mesh_relay"),
                "{with}"
            );
            assert_eq!(
                config.get_options().unwrap().contains("jit=off"),
                url.contains("jit"),
                "{with}"
            );
        }
    }

    #[test]
    fn a_socket_has_a_url() {
        let (config, _) =
            config(&socket_url(Path::new("/a b/ü"), "mesh_relay", "mesh"), None).unwrap();
        assert_eq!(config.get_hosts(), [Host::Unix("/a b/ü".into())]);
    }
}

//! The OS keychain, with the honest fallback.
//!
//! `MESH_KEYSTORE` = `auto` (default), `keyring` or `file`. With `auto` the keychain is probed once by a real write and
//! read, and the choice is remembered in config.json: a keychain that is away later is an error, never a silent move.

mod held;
#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result},
    home::{self, Home},
};
use std::{fs, io::ErrorKind, path::PathBuf, time::Duration};
use zeroize::Zeroizing;

pub use held::{Held, remember, same_holder};

const SERVICE: &str = "mesh";
/// A locked desktop keychain may open a dialog and wait for ever.
const KEYRING_LIMIT: Duration = Duration::from_secs(5);

/// Which backend holds this machine's keys (`keyring` or `file`), probing once and remembering.
/// Says on stderr, once, when it has to fall back to files.
pub async fn backend(home: &Home) -> Result<String> {
    let wish = wish()?;
    if let Some(wish) = wish {
        return Ok(wish);
    }
    if let Some(chosen) = home.config()?.keystore {
        return known(&chosen, "config.json");
    }
    let (chosen, why) = match probe().await {
        Ok(()) => ("keyring", None),
        Err(why) => ("file", Some(why)),
    };
    // Two first runs at once: the one that was written first stands.
    let remembered = home.update(|config| {
        config
            .keystore
            .get_or_insert_with(|| chosen.to_owned())
            .clone()
    })?;
    if let Some(why) = why.filter(|_| remembered == "file") {
        eprintln!(
            "warning: no usable OS keychain ({why}): keys are kept as plain files, readable only by you, in {}",
            directory(home).display()
        );
    }
    known(&remembered, "config.json")
}

/// Stores `value` under `id`, replacing what was there.
pub async fn put(home: &Home, id: &str, value: &str) -> Result<()> {
    if backend(home).await? == "keyring" {
        let (id, value) = (name(home, id), Zeroizing::new(value.to_owned()));
        return keyring(move || keyring::Entry::new(SERVICE, &id)?.set_password(&value)).await;
    }
    let path = path(home, id)?;
    home::private_directory(&directory(home))?;
    refuse_loose(&directory(home), "700")?;
    home::write_private(&path, value.as_bytes())
}

/// What is stored under `id`.
pub async fn get(home: &Home, id: &str) -> Result<Option<Zeroizing<String>>> {
    if backend(home).await? == "keyring" {
        let id = name(home, id);
        return keyring(
            move || match keyring::Entry::new(SERVICE, &id)?.get_password() {
                Ok(value) => Ok(Some(Zeroizing::new(value))),
                Err(keyring::Error::NoEntry) => Ok(None),
                Err(e) => Err(e),
            },
        )
        .await;
    }
    let path = path(home, id)?;
    if !path.exists() {
        return Ok(None);
    }
    refuse_loose(&directory(home), "700")?;
    refuse_loose(&path, "600")?;
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(home::at(&path, e)),
    }
}

/// Forgets `id`; fine when it is not there.
pub async fn delete(home: &Home, id: &str) -> Result<()> {
    if backend(home).await? == "keyring" {
        let id = name(home, id);
        return keyring(
            move || match keyring::Entry::new(SERVICE, &id)?.delete_credential() {
                Ok(()) | Err(keyring::Error::NoEntry) => Ok(()),
                Err(e) => Err(e),
            },
        )
        .await;
    }
    let path = path(home, id)?;
    match fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(home::at(&path, e)),
        _ => Ok(()),
    }
}

/// Where file keys are: `keys/` in the home.
pub fn directory(home: &Home) -> PathBuf {
    home.root.join("keys")
}

/// Writes a random value to the OS keychain, reads it back and deletes it. Err says why that does not work.
pub async fn probe() -> std::result::Result<(), String> {
    let id = format!("probe-{}", uuid::Uuid::new_v4().simple());
    keyring(move || {
        let entry = keyring::Entry::new(SERVICE, &id)?;
        entry.set_password(&id)?;
        let same = entry.get_password()? == id;
        entry.delete_credential()?;
        match same {
            true => Ok(()),
            false => Err(keyring::Error::Invalid(
                "probe".into(),
                "reads back something else".into(),
            )),
        }
    })
    .await
    .map_err(|e| {
        e.message
            .strip_prefix(KEYCHAIN)
            .unwrap_or(&e.message)
            .to_owned()
    })
}

/// Why the backend is what it is, in a few words.
pub async fn reason(home: &Home) -> Result<String> {
    if wish()?.is_some() {
        return Ok("MESH_KEYSTORE says so".into());
    }
    Ok(match (backend(home).await?.as_str(), probe().await) {
        ("keyring", Ok(())) => "the OS keychain".into(),
        ("keyring", Err(why)) => format!("the OS keychain, which does not work now: {why}"),
        (_, Ok(())) => "chosen when there was no OS keychain; there is one now".into(),
        (_, Err(why)) => format!("no usable OS keychain: {why}"),
    })
}

const KEYCHAIN: &str = "the OS keychain: ";

/// Runs `work` off the async threads, for at most 5 s; ME503 when it fails.
///
/// A thread of its own: the runtime would wait for a blocking task that never ends before the process may exit.
async fn keyring<T: Send + 'static>(
    work: impl FnOnce() -> keyring::Result<T> + Send + 'static,
) -> Result<T> {
    let failed = |why: String| Error::unavailable(format!("{KEYCHAIN}{why}")).hint("mesh doctor");
    let (answer, answered) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("keychain".into())
        // Nobody waits any more when the time was out.
        .spawn(move || drop(answer.send(work())))
        .map_err(|e| failed(e.to_string()))?;
    match tokio::time::timeout(KEYRING_LIMIT, answered).await {
        Err(_) => Err(failed("no answer in 5 s (is it locked?)".into())),
        Ok(Err(_)) => Err(failed("it panicked".into())),
        Ok(Ok(done)) => done.map_err(|e| failed(explain(&e))),
    }
}

fn explain(error: &keyring::Error) -> String {
    match error {
        keyring::Error::NoDefaultStore => match keyring::Entry::store_status() {
            Err(why) if !matches!(why, keyring::Error::NoDefaultStore) => explain(why),
            _ => "there is none".into(),
        },
        keyring::Error::PlatformFailure(e) => format!("it cannot be reached: {}", innermost(&**e)),
        keyring::Error::NoStorageAccess(e) => format!("it is locked or empty: {}", innermost(&**e)),
        // Never print it whole: some variants carry the stored bytes.
        keyring::Error::BadEncoding(_) | keyring::Error::BadDataFormat(..) => {
            "an entry that is no text".into()
        }
        other => other.to_string(),
    }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source())
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn wish() -> Result<Option<String>> {
    match std::env::var("MESH_KEYSTORE") {
        Ok(wish) if wish.is_empty() || wish == "auto" => Ok(None),
        Ok(wish) => known(&wish, "MESH_KEYSTORE").map(Some),
        Err(_) => Ok(None),
    }
}

fn known(backend: &str, source: &str) -> Result<String> {
    match backend {
        "keyring" | "file" => Ok(backend.to_owned()),
        other => Err(Error::new(
            400,
            format!("{source} says keystore {other:?}; it is auto, keyring or file"),
        )),
    }
}

/// What the keychain, which is one for the whole login, calls a key of this home.
fn name(home: &Home, id: &str) -> String {
    match home.is_default() {
        true => id.to_owned(),
        false => {
            let place = home.root.to_string_lossy();
            format!("{id}@{}", &crate::crypto::sha256_hex(place.as_bytes())[..8])
        }
    }
}

fn path(home: &Home, id: &str) -> Result<PathBuf> {
    let plain = !id.is_empty()
        && !id.starts_with('.')
        && id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match plain {
        true => Ok(directory(home).join(id)),
        false => Err(Error::new(400, format!("{id:?} cannot name a key"))),
    }
}

fn refuse_loose(path: &std::path::Path, mode: &str) -> Result<()> {
    match home::loose_mode(path)? {
        None => Ok(()),
        Some(found) => Err(Error::new(
            403,
            format!(
                "{} has mode {found:03o}: others could read keys",
                path.display()
            ),
        )
        .hint(format!("chmod {mode} {}", path.display()))),
    }
}

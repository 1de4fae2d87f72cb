//! What this machine has seen of meshes: who owns one, whether it is sealed, and which key is whose.
//!
//! A relay's word is taken once, and shown to have changed ever after: what is pinned here is what a person agreed to, or
//! what was there first. pins.json holds no secret.

#[cfg(test)]
mod tests;

use crate::{
    error::{Error, Result},
    home::{self, Home},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::SystemTime,
};
use time::OffsetDateTime;

/// pins.json of a home; what was read of it is kept until the file changes.
pub struct Pins {
    home: Home,
    read: Mutex<Option<Read>>,
}

/// The file as it was at that time and of that size.
struct Read {
    at: SystemTime,
    size: u64,
    book: Arc<Book>,
}

/// All that is pinned, by mesh id.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Book {
    pub meshes: BTreeMap<String, Mesh>,
}

/// What is known of a mesh.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mesh {
    /// As its name was last.
    pub name: String,
    /// The owner's identity, 64 hex digits: where every chain begins. Empty before it is known.
    pub owner_key: String,
    /// Owners before this one: what they signed stays signed.
    pub former_owner_keys: Vec<String>,
    /// Once sealed, plain text is never sent here and never believed.
    pub sealed: bool,
    /// When it was sealed after it had been open; what is older may be plain.
    #[serde(with = "time::serde::rfc3339::option")]
    pub sealed_at: Option<OffsetDateTime>,
    /// By agent id.
    pub agents: BTreeMap<String, Agent>,
}

/// Whom a key was first seen for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    pub name: String,
    /// 64 hex digits.
    pub key: String,
    #[serde(with = "time::serde::rfc3339")]
    pub seen_at: OffsetDateTime,
    /// It is gone, or another has its name now: what it sent can be read, and nothing is sealed for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub former: bool,
}

impl Pins {
    pub fn new(home: &Home) -> Pins {
        Pins {
            home: home.clone(),
            read: Mutex::default(),
        }
    }

    /// What is pinned of a mesh; nothing yet is an empty one. ME400 when pins.json cannot be understood.
    pub fn mesh(&self, id: &str) -> Result<Mesh> {
        Ok(self.book()?.meshes.get(id).cloned().unwrap_or_default())
    }

    /// The ids of the meshes that had this name when they were seen last.
    pub fn called(&self, name: &str) -> Result<Vec<String>> {
        let book = self.book()?;
        let named = book
            .meshes
            .iter()
            .filter(|(_, mesh)| mesh.name.eq_ignore_ascii_case(name));
        Ok(named.map(|(id, _)| id.clone()).collect())
    }

    /// Reads, changes and writes what is pinned of a mesh, under a lock, atomically. When `change` fails, nothing changes.
    pub fn update<T>(&self, id: &str, change: impl FnOnce(&mut Mesh) -> Result<T>) -> Result<T> {
        self.home.create()?;
        let lock = self.home.root.join("pins.lock");
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|e| home::at(&lock, e))?;
        file.lock()?;
        let before = self.book()?;
        let mut book = (*before).clone();
        let answer = change(book.meshes.entry(id.to_owned()).or_default())?;
        if book != *before {
            let text = serde_json::to_string_pretty(&book).expect("pins are JSON") + "\n";
            home::write_private(&self.path(), text.as_bytes())?;
        }
        Ok(answer)
    }

    /// Pins the owner of a mesh whose key was learned in a way that no relay can bend: from the machine's own account, or
    /// from the chain that starts with the invite it holds. ME409 when another one is pinned.
    pub fn own(&self, id: &str, name: &str, owner_key: &str) -> Result<()> {
        self.update(id, |mesh| {
            mesh.name = name.to_owned();
            if !mesh.owner_key.is_empty() && mesh.owner_key != owner_key {
                return Err(mesh.another_owner(owner_key));
            }
            mesh.owner_key = owner_key.to_owned();
            Ok(())
        })
    }

    /// Takes note that the person at this machine wants their own mesh sealed, or open. Of a new one before its owner is
    /// pinned.
    pub fn want(&self, id: &str, sealed: bool) -> Result<()> {
        self.update(id, |mesh| {
            // In a mesh that is new nothing was ever plain.
            if sealed && !mesh.sealed && !mesh.owner_key.is_empty() {
                mesh.sealed_at = Some(OffsetDateTime::now_utc());
            }
            mesh.sealed = sealed;
            Ok(())
        })
    }

    fn path(&self) -> PathBuf {
        self.home.root.join("pins.json")
    }

    fn book(&self) -> Result<Arc<Book>> {
        let path = self.path();
        let about = match fs::metadata(&path) {
            Ok(about) => about,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(e) => return Err(home::at(&path, e)),
        };
        let (at, size) = (
            about.modified().map_err(|e| home::at(&path, e))?,
            about.len(),
        );
        let mut read = self.read.lock().expect("nothing panics under this lock");
        if let Some(same) = read
            .as_ref()
            .filter(|read| (read.at, read.size) == (at, size))
        {
            return Ok(same.book.clone());
        }
        let text = fs::read(&path).map_err(|e| home::at(&path, e))?;
        let book: Arc<Book> = Arc::new(serde_json::from_slice(&text).map_err(|e| {
            let message = format!("{} cannot be understood: {e}", path.display());
            Error::new(400, message).hint("mesh doctor")
        })?);
        *read = Some(Read {
            at,
            size,
            book: book.clone(),
        });
        Ok(book)
    }
}

impl Mesh {
    /// Whether chains may begin with this key: the owner's, or that of an owner before.
    pub fn is_owner(&self, key: &str) -> bool {
        !key.is_empty()
            && (self.owner_key == key || self.former_owner_keys.iter().any(|k| k == key))
    }

    /// Who is pinned with this name and another id, and has it still.
    pub fn namesake(&self, agent_id: &str, name: &str) -> Option<&Agent> {
        let mut others = self.agents.iter().filter(|(id, _)| *id != agent_id);
        others
            .find(|(_, agent)| agent.name == name && !agent.former)
            .map(|(_, a)| a)
    }

    /// ME409: the relay names another owner than the pinned one.
    pub fn another_owner(&self, key: &str) -> Error {
        let short = |key: &str| key.get(..12).unwrap_or(key).to_owned();
        let message = format!(
            "the owner of {} has another key than this machine has seen: {} now, {} before",
            self.name,
            short(key),
            short(&self.owner_key)
        );
        Error::new(409, message).hint("mesh trust --owner")
    }
}

//! This machine's files: where they are, and config.json.

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use etcetera::base_strategy::{BaseStrategy, choose_native_strategy};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

#[derive(Clone, Debug)]
pub struct Home {
    /// Absolute. May not exist yet.
    pub root: PathBuf,
}

/// config.json: no secret is in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub relay: Option<String>,
    pub ca: Option<PathBuf>,
    /// `keyring` or `file`, once it was probed.
    pub keystore: Option<String>,
    pub credentials: Vec<Credential>,
    pub workspaces: Vec<Workspace>,
}

/// What this machine holds a key for; the key itself is in the keystore under `id`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credential {
    pub id: String,
    /// `account` or `agent`.
    pub kind: String,
    pub relay: String,
    pub account: Option<String>,
    pub mesh: Option<String>,
    pub mesh_id: Option<String>,
    pub agent: Option<String>,
    /// The account name of the mesh's owner.
    pub owner: Option<String>,
}

/// A directory that is set up for one agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workspace {
    pub mesh: String,
    pub mesh_id: String,
    pub agent: String,
    pub relay: String,
    pub path: PathBuf,
    pub editor: String,
}

impl Home {
    /// `explicit`, else `MESH_HOME`, else `mesh` in the platform's data directory. Creates nothing.
    pub fn find(explicit: Option<&Path>) -> Result<Home> {
        let named = explicit
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("MESH_HOME").map(PathBuf::from));
        let root = match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => path,
            None => usual_root().ok_or_else(|| {
                Error::unavailable("there is no home directory")
                    .hint("mesh --home DIRECTORY status")
            })?,
        };
        Ok(Home {
            root: std::path::absolute(root)?,
        })
    }

    /// config.json; the defaults when there is none. ME400 when it cannot be understood.
    pub fn config(&self) -> Result<Config> {
        self.understood(self.raw_config()?)
    }

    /// Reads, changes and writes config.json under a lock, atomically. What it holds beyond [`Config`] is kept.
    pub fn update<T>(&self, change: impl FnOnce(&mut Config) -> T) -> Result<T> {
        self.create()?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join("config.lock"))
            .map_err(|e| at(&self.root.join("config.lock"), e))?;
        lock.lock()?;
        let before = self.raw_config()?;
        let mut config = self.understood(before.clone())?;
        let answer = change(&mut config);
        let mut after =
            serde_json::to_value(&config).map_err(|e| Error::internal(e.to_string()))?;
        keep_unknown(&before, &mut after);
        let text = serde_json::to_string_pretty(&after).expect("a JSON value") + "\n";
        write_private(&self.config_path(), text.as_bytes())?;
        Ok(answer)
    }

    /// Whether this is the user's own home, not one that was named.
    pub fn is_default(&self) -> bool {
        usual_root().is_some_and(|root| root == self.root)
    }

    /// Makes the directory, readable only by its owner.
    pub fn create(&self) -> Result<()> {
        private_directory(&self.root)
    }

    pub fn config_path(&self) -> PathBuf {
        self.root.join("config.json")
    }

    fn raw_config(&self) -> Result<Value> {
        match fs::read(self.config_path()) {
            Ok(text) => serde_json::from_slice(&text).map_err(|e| self.broken(&e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Value::Object(Default::default())),
            Err(e) => Err(at(&self.config_path(), e)),
        }
    }

    fn understood(&self, raw: Value) -> Result<Config> {
        serde_json::from_value(raw).map_err(|e| self.broken(&e))
    }

    fn broken(&self, why: &serde_json::Error) -> Error {
        Error::new(
            400,
            format!(
                "{} cannot be understood: {why}",
                self.config_path().display()
            ),
        )
        .hint("mesh doctor")
    }
}

fn usual_root() -> Option<PathBuf> {
    Some(choose_native_strategy().ok()?.data_dir().join("mesh"))
}

/// Makes `path` and what is missing above it, mode 0700. An existing directory keeps its mode.
pub fn private_directory(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|e| at(path, e))
}

/// Writes a file that only its owner may read (0600), so that after a crash it is either the old one or the new one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| Error::internal("a file needs a directory"))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = (|| {
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    if let Err(e) = written {
        // The file may not even exist; the first error is the one that matters.
        let _ = fs::remove_file(&temporary);
        return Err(at(path, e));
    }
    #[cfg(unix)]
    File::open(directory)
        .and_then(|d| d.sync_all())
        .map_err(|e| at(directory, e))?;
    Ok(())
}

/// The permission bits when others than the owner have any; always None where files have no modes.
pub fn loose_mode(path: &Path) -> Result<Option<u32>> {
    let metadata = fs::metadata(path).map_err(|e| at(path, e))?;
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    #[cfg(not(unix))]
    let mode = metadata.len() as u32 * 0;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// A file error that says which file.
pub fn at(path: &Path, error: std::io::Error) -> Error {
    let what = format!("{}: {error}", path.display());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull => {
            Error::unavailable(what).hint("mesh doctor")
        }
        _ => Error::internal(what),
    }
}

/// Carries members that only `old` has over to `new`, and drops the nulls that `new` writes for "none".
fn keep_unknown(old: &Value, new: &mut Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new.iter_mut() {
                keep_unknown(old.get(name).unwrap_or(&Value::Null), value);
            }
            for (name, value) in old {
                new.entry(name).or_insert_with(|| value.clone());
            }
            new.retain(|_, value| !value.is_null());
        }
        (old, Value::Array(items)) => {
            let none = Vec::new();
            let old = old.as_array().unwrap_or(&none);
            for item in items {
                let same = |other: &&Value| {
                    ["id", "path"]
                        .iter()
                        .any(|key| item.get(key).is_some() && item.get(key) == other.get(key))
                };
                let before = old.iter().find(same).cloned().unwrap_or(Value::Null);
                keep_unknown(&before, item);
            }
        }
        (_, Value::Object(new)) => new.retain(|_, value| !value.is_null()),
        _ => {}
    }
}

//! `mesh backup`: all that this machine holds, in one file.

use super::{globals::Globals, login::print_json, passphrase, text};
use crate::{
    crypto,
    error::{Error, Result},
    home::{self, Home},
    keystore,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Write the keys of this machine into a file that a passphrase opens
///
/// Keys, identities, what was seen of other people's keys, and config.json. Without it, an agent of a guest is lost with
/// its machine; your own agents come back with mesh recover as long as you have your account key. Who has the file and
/// guesses the passphrase is you.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  mesh backup ~/mesh.backup
  pass show mesh-backup | mesh backup mesh.backup --passphrase-file - --force")]
pub struct Args {
    /// The file to write
    #[arg(value_name = "file")]
    pub file: PathBuf,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub passphrase: passphrase::Args,
}

/// What is inside.
#[derive(Serialize, Deserialize)]
pub struct Content {
    pub v: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// config.json.
    pub config: Value,
    /// pins.json; null when there is none.
    #[serde(default)]
    pub pins: Value,
    /// What the keystore holds, by credential id.
    pub keys: BTreeMap<String, Zeroizing<String>>,
}

pub const VERSION: u32 = 1;

pub async fn run(args: Args, globals: &Globals) -> Result<()> {
    let home = Home::find(globals.home.as_deref())?;
    let content = content(&home).await?;
    if content.keys.is_empty() {
        return Err(Error::new(404, "this machine holds no key").hint("mesh status"));
    }
    let file = Reserved::new(&args.file, args.force)?;
    let passphrase = args.passphrase.new_one()?;
    let plain = Zeroizing::new(serde_json::to_vec(&content).expect("a backup is JSON"));
    let sealed = crypto::seal_backup(&passphrase, &plain)?;
    file.write(sealed.as_bytes())?;
    let (file, keys) = (args.file.display().to_string(), content.keys.len());
    if globals.json {
        print_json(&json!({"file": file, "keys": keys}));
    } else {
        let s = if keys == 1 { "" } else { "s" };
        println!("{keys} key{s} in {}", text::clean(&file));
        println!("Next: mesh restore {}", text::clean(&file));
    }
    Ok(())
}

async fn content(home: &Home) -> Result<Content> {
    let config = home.config()?;
    let mut keys = BTreeMap::new();
    for credential in &config.credentials {
        if let Some(text) = keystore::get(home, &credential.id).await? {
            keys.insert(credential.id.clone(), text);
        }
    }
    Ok(Content {
        v: VERSION,
        made_at: OffsetDateTime::now_utc(),
        config: json!(config),
        pins: json_file(&home.root.join("pins.json"))?,
        keys,
    })
}

fn json_file(path: &Path) -> Result<Value> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| {
            let message = format!("{} cannot be understood: {e}", path.display());
            Error::new(400, message).hint("mesh doctor")
        }),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Value::Null),
        Err(e) => Err(home::at(path, e)),
    }
}

/// What went wrong with a file that the user named.
pub fn of_user(path: &Path, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => Error::new(404, format!("there is no {}", path.display())),
        ErrorKind::IsADirectory | ErrorKind::InvalidData => {
            Error::usage(format!("{}: {error}", path.display()))
        }
        _ => home::at(path, error),
    }
}

/// The name of a file to write: taken at once, so that nobody is asked for a passphrase in vain, and given back when nothing
/// was written.
struct Reserved<'a> {
    path: &'a Path,
    is_ours: bool,
}

impl<'a> Reserved<'a> {
    fn new(path: &'a Path, force: bool) -> Result<Reserved<'a>> {
        if force && path.exists() {
            return Ok(Reserved {
                path,
                is_ours: false,
            });
        }
        match fs::File::create_new(path) {
            Ok(_) => Ok(Reserved {
                path,
                is_ours: true,
            }),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let message = format!("{} is there already", path.display());
                Err(Error::new(409, message)
                    .hint(format!("mesh backup {} --force", path.display())))
            }
            Err(e) => Err(of_user(path, e)),
        }
    }

    fn write(mut self, bytes: &[u8]) -> Result<()> {
        // A bare name has an empty parent.
        home::write_private(&std::path::absolute(self.path)?, bytes)?;
        self.is_ours = false;
        Ok(())
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.is_ours {
            // It is empty; one that stays is seen next time.
            let _ = fs::remove_file(self.path);
        }
    }
}

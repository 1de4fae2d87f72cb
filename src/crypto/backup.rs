//! A file that only a passphrase opens.

use super::locked;
use crate::error::{Error, Result};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64;
use rand_core::{CryptoRngCore, OsRng};
use zeroize::Zeroizing;

const TITLE: &str = "mesh backup 1";
const WIDTH: usize = 76;
const SALT: usize = 16;
/// The second recommended option of RFC 9106: 64 MiB, three passes, four lanes.
const COST: Cost = Cost {
    memory: 65_536,
    passes: 3,
    lanes: 4,
};
/// A file that asks for more than 1 GiB or 20 passes is not ours.
const MOST: Cost = Cost {
    memory: 1 << 20,
    passes: 20,
    lanes: 64,
};

struct Cost {
    /// KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

/// ME400 when the passphrase could be guessed: below 10¹⁰ guesses, as zxcvbn counts.
pub fn check_passphrase(passphrase: &str) -> Result<()> {
    let judged = zxcvbn::zxcvbn(passphrase, &["mesh"]);
    if judged.score() >= zxcvbn::Score::Four {
        return Ok(());
    }
    let why = judged
        .feedback()
        .and_then(|feedback| feedback.warning())
        .map(|warning| format!(": {}", warning.to_string().trim_end_matches('.')))
        .unwrap_or_default();
    let message = format!(
        "that passphrase is too easy to guess{why}; take four or more words that nobody would put together"
    );
    Err(Error::new(400, message))
}

/// `content` as a text that `passphrase` opens. ME400 when the passphrase is weak.
pub fn seal_backup(passphrase: &str, content: &[u8]) -> Result<String> {
    check_passphrase(passphrase)?;
    seal_with(&mut OsRng, passphrase, content)
}

pub(super) fn seal_with(
    rng: &mut impl CryptoRngCore,
    passphrase: &str,
    content: &[u8],
) -> Result<String> {
    let mut salt = [0u8; SALT];
    rng.fill_bytes(&mut salt);
    let key = COST.key(passphrase, &salt)?;
    let locked = BASE64.encode(&locked::lock(rng, &key, content));
    let Cost {
        memory,
        passes,
        lanes,
    } = COST;
    let mut text = format!(
        "{TITLE}\nargon2id m={memory} t={passes} p={lanes} salt={}\n",
        BASE64.encode(&salt)
    );
    for line in locked.as_bytes().chunks(WIDTH) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    Ok(text)
}

/// What [`seal_backup`] was given. ME400 when this is no backup, ME403 when the passphrase does not open it.
pub fn open_backup(passphrase: &str, text: &str) -> Result<Zeroizing<Vec<u8>>> {
    let mut lines = text.lines().map(str::trim_end);
    let title = lines.next().unwrap_or_default();
    if title != TITLE {
        return Err(Error::new(
            400,
            match title.starts_with("mesh backup ") {
                true => "this backup was made by a newer version of Mesh",
                false => "this is no backup: the file does not begin with \"mesh backup 1\"",
            },
        ));
    }
    let broken = || {
        Error::new(
            400,
            "this backup is damaged: its second line cannot be read",
        )
    };
    let (cost, salt) = header(lines.next().unwrap_or_default()).ok_or_else(broken)?;
    let locked: String = lines.collect();
    let locked = BASE64
        .decode(locked.as_bytes())
        .map_err(|_| Error::new(400, "this backup is damaged: it was cut or changed"))?;
    locked::unlock(&*cost.key(passphrase, &salt)?, &locked)
        .ok_or_else(|| Error::new(403, "the passphrase is wrong, or the backup was changed"))
}

fn header(line: &str) -> Option<(Cost, [u8; SALT])> {
    let mut words = line.split(' ');
    if words.next()? != "argon2id" {
        return None;
    }
    let mut value = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
    let cost = Cost {
        memory: value("m")?.parse().ok()?,
        passes: value("t")?.parse().ok()?,
        lanes: value("p")?.parse().ok()?,
    };
    let salt = BASE64.decode(value("salt")?.as_bytes()).ok()?;
    let fits = cost.memory <= MOST.memory && cost.passes <= MOST.passes && cost.lanes <= MOST.lanes;
    (fits && words.next().is_none()).then_some((cost, salt.try_into().ok()?))
}

impl Cost {
    fn key(&self, passphrase: &str, salt: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let broken = |e: argon2::Error| Error::new(400, format!("this backup is damaged: {e}"));
        let params = Params::new(self.memory, self.passes, self.lanes, Some(32)).map_err(broken)?;
        let mut key = Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), salt, &mut *key)
            .map_err(broken)?;
        Ok(key)
    }
}

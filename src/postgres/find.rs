//! Finds the programs of a Postgres that is new enough.

use super::packages;
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest Postgres that will do.
pub const OLDEST: u32 = 15;

#[derive(Clone, Debug, PartialEq)]
pub struct Binaries {
    pub directory: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The newest Postgres of this machine, or that of major version `pinned`, which made an existing cluster.
/// Errors: ME503 with the command that installs one.
pub fn find(pinned: Option<u32>) -> Result<Binaries> {
    let all: Vec<Binaries> = directories().into_iter().filter_map(inspect).collect();
    let fits =
        |found: &&Binaries| pinned.map_or(found.major >= OLDEST, |major| found.major == major);
    if let Some(best) = all.iter().filter(fits).max_by_key(|found| found.major) {
        return Ok(best.clone());
    }
    let mut have: Vec<String> = all.iter().map(|found| found.major.to_string()).collect();
    have.sort();
    have.dedup();
    let have = if have.is_empty() {
        "none".to_owned()
    } else {
        have.join(", ")
    };
    let want = match pinned {
        Some(major) => format!("the database was made by PostgreSQL {major}, which is not here"),
        None => format!("Mesh needs PostgreSQL {OLDEST} or newer"),
    };
    Err(Error::unavailable(format!("{want} (found: {have})")).hint(packages::install_hint(pinned)))
}

/// The folders that may hold the programs; links are resolved, since the programs find their files beside themselves.
fn directories() -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path =
        std::env::split_paths(&path).filter_map(|folder| real_folder(&folder.join("initdb")));
    let asked = std::env::split_paths(&path)
        .map(|folder| folder.join("pg_config"))
        .find(|program| program.is_file())
        .and_then(|program| output(&program, "--bindir"))
        .map(PathBuf::from);
    let known = packages::postgres_directories().into_iter();
    on_path
        .chain(asked)
        .chain(known.filter_map(|folder| real_folder(&folder.join("initdb"))))
        .collect()
}

fn real_folder(program: &Path) -> Option<PathBuf> {
    Some(program.canonicalize().ok()?.parent()?.to_path_buf())
}

fn inspect(directory: PathBuf) -> Option<Binaries> {
    let complete = ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|name| directory.join(name).is_file());
    let major = complete
        .then(|| output(&directory.join("postgres"), "--version"))
        .flatten()?;
    Some(Binaries {
        major: parse_major(&major)?,
        directory,
    })
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// 15 of `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`, 19 of `… 19beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, major) in [
            (
                "postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)",
                Some(15),
            ),
            ("postgres (PostgreSQL) 19beta1", Some(19)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("something else", None),
        ] {
            assert_eq!(parse_major(text), major, "{text}");
        }
    }
}

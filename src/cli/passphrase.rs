//! A passphrase from a person or a file; it is never an argument, which other users of the machine could see.

use super::backup::of_user;
use crate::{
    crypto,
    error::{Error, Result},
};
use std::{
    io::{IsTerminal, Read},
    path::Path,
};
use zeroize::Zeroizing;

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Read the passphrase from this file; - reads it from stdin
    #[arg(long, value_name = "file")]
    pub passphrase_file: Option<std::path::PathBuf>,
}

impl Args {
    /// One that is there already.
    pub fn known(&self) -> Result<Zeroizing<String>> {
        match &self.passphrase_file {
            Some(file) => read(file),
            None => asked("Passphrase: "),
        }
    }

    /// A new one: asked for twice, ME400 when it is weak.
    pub fn new_one(&self) -> Result<Zeroizing<String>> {
        let passphrase = self.known()?;
        crypto::check_passphrase(&passphrase)?;
        if self.passphrase_file.is_none() && *asked("Again: ")? != *passphrase {
            return Err(Error::usage("the two were not the same"));
        }
        Ok(passphrase)
    }
}

fn asked(prompt: &str) -> Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(
            "nobody is there to type a passphrase: give --passphrase-file",
        ));
    }
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .map_err(|e| Error::usage(format!("no passphrase was typed: {e}")))
}

fn read(file: &Path) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text)),
    }
    .map_err(|e| of_user(file, e))?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

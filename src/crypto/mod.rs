//! Keys, signatures, chains and envelopes. A crypto crate is named only here and in `crypto/`.
//!
//! A key is 20 random bytes shown as text with a checksum. What travels (the bearer) and what signs are derived from
//! it, so a relay never sees the key and its database holds a hash of the bearer only.

mod backup;
mod chain;
pub mod envelope;
mod locked;
mod safety;
#[cfg(test)]
mod tests;
mod wrap;

use crate::{
    canonical,
    error::{Error, Result},
};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use rand_core::{OsRng, RngCore};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use zeroize::Zeroizing;

pub use backup::{check_passphrase, open_backup, seal_backup};
pub use chain::verify_chain;
pub use safety::safety_number;

const KEY: &str = "mc_";
const INVITE: &str = "mc_inv_";
const SEED: usize = 20;
const CHECKSUM: usize = 4;
const CALL_CONTEXT: &[u8] = b"mesh/call/v1\0";

/// An `mc_…` or `mc_inv_…` text: 20 random bytes and a checksum. Never in Debug output.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new secret. `prefix` is `mc_` or `mc_inv_`.
    pub fn generate(prefix: &str) -> Secret {
        let mut bytes = Zeroizing::new([0u8; SEED + CHECKSUM]);
        OsRng.fill_bytes(&mut bytes[..SEED]);
        let sum = checksum(prefix, &bytes[..SEED]);
        bytes[SEED..].copy_from_slice(&sum);
        let hex = Zeroizing::new(HEXLOWER.encode(&*bytes));
        Secret(Zeroizing::new([prefix, &hex].concat()))
    }

    /// Reads a key or invite; white space around it is ignored.
    ///
    /// ME400 when it is no key at all, is cut short, or its checksum does not fit. The text is not repeated in the error.
    pub fn parse(text: &str) -> Result<Secret> {
        let text = text.trim();
        let (prefix, hex) = split(text).ok_or_else(|| {
            Error::new(
                400,
                "that is no key: a key starts with mc_, an invite with mc_inv_",
            )
        })?;
        let wanted = 2 * (SEED + CHECKSUM);
        if hex.len() != wanted {
            return Err(Error::new(
                400,
                format!(
                    "that key is {} characters long after {prefix}, not {wanted}: was it cut?",
                    hex.len()
                ),
            ));
        }
        let typo = || Error::new(400, "that key has a typo: its checksum does not fit");
        let bytes = Zeroizing::new(HEXLOWER.decode(hex.as_bytes()).map_err(|_| typo())?);
        let (seed, sum) = bytes.split_at(SEED);
        if !bool::from(checksum(prefix, seed).ct_eq(sum)) {
            return Err(typo());
        }
        Ok(Secret(Zeroizing::new(text.to_owned())))
    }

    /// The text to keep: show it once or store it, never log it.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn is_invite(&self) -> bool {
        self.0.starts_with(INVITE)
    }

    /// `mt_…`: what travels.
    pub fn bearer(&self) -> String {
        let key = self.derive("mesh/auth/v1");
        let hex = Zeroizing::new(HEXLOWER.encode(&*key));
        ["mt_", &hex].concat()
    }

    /// Hex SHA-256 of the bearer text: what the server stores.
    pub fn verifier(&self) -> String {
        sha256_hex(Zeroizing::new(self.bearer()).as_bytes())
    }

    /// The key's own signing key: of an account key, the account's identity.
    pub fn signer(&self) -> Signer {
        Signer(SigningKey::from_bytes(&self.derive("mesh/identity/v1")))
    }

    /// What a `mesh.new_secret` argument holds: `{"verifier","public_key"}`.
    pub fn registration(&self) -> Value {
        json!({"verifier": self.verifier(), "public_key": self.signer().public_key()})
    }

    /// The short name people see: the first 12 hex of the public key.
    pub fn prefix(&self) -> String {
        self.signer().public_key()[..12].to_owned()
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let (_, hex) = split(&self.0).expect("checked when it was made");
        let bytes = Zeroizing::new(
            HEXLOWER
                .decode(hex.as_bytes())
                .expect("checked when it was made"),
        );
        let mut out = Zeroizing::new([0u8; 32]);
        hkdf(&bytes[..SEED], &[], purpose.as_bytes(), &mut *out);
        out
    }
}

/// An ed25519 signing key. Zeroised on drop, never in Debug output.
#[derive(Clone)]
pub struct Signer(SigningKey);

impl Signer {
    pub fn generate() -> Signer {
        Signer(SigningKey::generate(&mut OsRng))
    }

    /// From 64 hex digits; ME400 when it is not that.
    pub fn from_seed(hex: &str) -> Result<Signer> {
        let wrong = || Error::new(400, "an identity seed is 64 hex digits");
        let bytes = Zeroizing::new(HEXLOWER.decode(hex.as_bytes()).map_err(|_| wrong())?);
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| wrong())?;
        Ok(Signer(SigningKey::from_bytes(seed)))
    }

    /// The private half, 64 hex digits: for the keystore only.
    pub fn seed(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(self.0.as_bytes()))
    }

    /// 64 hex digits.
    pub fn public_key(&self) -> String {
        HEXLOWER.encode(self.0.verifying_key().as_bytes())
    }

    /// `{"document","signer","signature"}` over the function, its arguments (leave `mesh.signed` ones out) and the
    /// mesh context as sent, at the present time.
    pub fn sign_call(&self, function: &str, arguments: &Value, mesh: Option<&str>) -> Value {
        self.sign_call_at(function, arguments, mesh, OffsetDateTime::now_utc())
    }

    fn sign_call_at(
        &self,
        function: &str,
        arguments: &Value,
        mesh: Option<&str>,
        at: OffsetDateTime,
    ) -> Value {
        let at = at.replace_nanosecond(0).expect("0 is a valid nanosecond");
        let document = canonical::text(&json!({
            "function": function,
            "arguments": arguments,
            "mesh": mesh,
            "signed_at": at.format(&Rfc3339).expect("the present year has four digits"),
        }));
        let signature = self.0.sign(&in_context(&document));
        json!({
            "document": document,
            "signer": self.public_key(),
            "signature": HEXLOWER.encode(&signature.to_bytes()),
        })
    }
}

/// Checks one signed object against the call it came with: `arguments` are the call's without its `mesh.signed` ones.
///
/// ME400 with the reason. Who the signer must be, and how old the document may be, is for the caller to judge.
pub fn verify_call(signed: &Value, function: &str, arguments: &Value) -> Result<()> {
    let (document, _) = open_signed(signed).map_err(|why| Error::new(400, why))?;
    let refuse = |why: &str| Err(Error::new(400, format!("the signature is for {why}")));
    if document["function"] != *function {
        return refuse("another function");
    }
    if !canonical::exact(arguments) {
        return Err(Error::new(
            400,
            "a signed call cannot hold integers beyond 2^53",
        ));
    }
    if canonical::text(&document["arguments"]) != canonical::text(arguments) {
        return refuse("other arguments");
    }
    Ok(())
}

/// The document and the signer (64 hex) of a signed object whose signature is good, or why it is not.
pub fn open_signed(signed: &Value) -> std::result::Result<(Value, String), String> {
    let members = signed
        .as_object()
        .ok_or("a signed object is {document, signer, signature}")?;
    let part = |name: &str| {
        members
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("a signed object needs the text {name}"))
    };
    let (text, signer, signature) = (part("document")?, part("signer")?, part("signature")?);
    if members.len() != 3 {
        return Err("a signed object has only document, signer and signature".into());
    }
    let key = VerifyingKey::from_bytes(
        &hex_array(signer).ok_or("the signer is not 64 lower hex digits")?,
    )
    .map_err(|_| "the signer is no ed25519 key")?;
    let signature = Signature::from_bytes(
        &hex_array(signature).ok_or("the signature is not 128 lower hex digits")?,
    );
    key.verify_strict(&in_context(text), &signature)
        .map_err(|_| "the signature does not fit the document")?;
    let document: Value =
        serde_json::from_str(text).map_err(|_| "the signed document is no JSON")?;
    // Also rules out doubled members, which two readers could understand differently.
    if canonical::text(&document) != text {
        return Err("the signed document is not in canonical form".into());
    }
    Ok((document, signer.to_owned()))
}

/// SHA-256 as 64 hex digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn split(text: &str) -> Option<(&'static str, &str)> {
    [INVITE, KEY]
        .into_iter()
        .find_map(|prefix| Some((prefix, text.strip_prefix(prefix)?)))
}

fn checksum(prefix: &str, seed: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new()
        .chain_update(prefix)
        .chain_update(seed)
        .finalize();
    digest[..CHECKSUM].try_into().expect("SHA-256 is longer")
}

fn hkdf(input: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::new(Some(salt), input)
        .expand(info, out)
        .expect("at most 255 blocks are asked for")
}

fn in_context(document: &str) -> Vec<u8> {
    [CALL_CONTEXT, document.as_bytes()].concat()
}

fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

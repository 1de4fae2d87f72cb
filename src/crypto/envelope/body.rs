//! The sealed body: padding, the content key, and its boxes.

use super::Unopened;
use crate::{
    canonical,
    crypto::Signer,
    error::{Error, Result},
};
use crypto_box::{PublicKey, SecretKey};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use data_encoding::BASE64;
use rand_core::CryptoRngCore;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const LENGTH: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;
const SMALLEST: usize = 256;
const LARGEST: usize = 262_144;
const NONCE_CONTEXT: &[u8] = b"mesh/nonce/v1\0";

/// The key of one envelope's body.
pub struct ContentKey(Zeroizing<[u8; 32]>);

impl ContentKey {
    pub fn generate(rng: &mut impl CryptoRngCore) -> ContentKey {
        let mut key = Zeroizing::new([0u8; 32]);
        rng.fill_bytes(&mut *key);
        ContentKey(key)
    }

    /// The nonce and the encrypted `padded`.
    pub fn seal(&self, padded: &[u8]) -> Vec<u8> {
        let nonce = self.nonce();
        let sealed = self
            .cipher()
            .encrypt(&nonce.into(), padded)
            .expect("a body is small enough");
        [&nonce[..], &sealed].concat()
    }

    /// The padded body, when this is the key it was sealed with.
    pub fn open(&self, sealed: &[u8]) -> std::result::Result<Zeroizing<Vec<u8>>, Unopened> {
        if sealed.len() > NONCE + LARGEST + TAG {
            return Err(Unopened::Body("is larger than a message can be"));
        }
        let nonce = self.nonce();
        let (first, rest) = sealed
            .split_at_checked(NONCE)
            .ok_or(Unopened::Body("is cut short"))?;
        if !bool::from(nonce.ct_eq(first)) {
            return Err(Unopened::Body("was sealed with another key"));
        }
        let opened = self.cipher().decrypt(&nonce.into(), rest);
        opened
            .map(Zeroizing::new)
            .map_err(|_| Unopened::Body("does not open with its key"))
    }

    /// This key for one reader: a libsodium sealed box, in base64.
    pub fn boxed(&self, rng: &mut impl CryptoRngCore, reader: &PublicKey) -> String {
        let sealed = reader.seal(rng, &*self.0).expect("a key is small enough");
        BASE64.encode(&sealed)
    }

    pub fn unbox(own: &[u8], identity: &Signer) -> Option<ContentKey> {
        let scalar = Zeroizing::new(identity.0.to_scalar_bytes());
        let opened = Zeroizing::new(SecretKey::from_bytes(*scalar).unseal(own).ok()?);
        Some(ContentKey(Zeroizing::new(
            opened.as_slice().try_into().ok()?,
        )))
    }

    /// Made from the key, so that a sealed body opens with one key only: the cipher alone would let a sender make one
    /// that says different things to different readers. The key is new each time, and so is the nonce.
    fn nonce(&self) -> [u8; NONCE] {
        let digest = Sha256::new()
            .chain_update(NONCE_CONTEXT)
            .chain_update(*self.0)
            .finalize();
        digest[..NONCE].try_into().expect("SHA-256 is longer")
    }

    fn cipher(&self) -> XSalsa20Poly1305 {
        XSalsa20Poly1305::new((&*self.0).into())
    }
}

/// The length, the body, and zeros up to a power of two. ME413 when it is too large.
pub fn pad(body: &str) -> Result<Zeroizing<Vec<u8>>> {
    let most = LARGEST - LENGTH;
    if body.len() > most {
        let message = format!(
            "the message is {} bytes long as JSON, and {most} is the most that can be sealed",
            body.len()
        );
        return Err(Error::new(413, message));
    }
    let mut padded = Zeroizing::new(vec![0; size(body.len())]);
    padded[..LENGTH].copy_from_slice(&(body.len() as u32).to_be_bytes());
    padded[LENGTH..LENGTH + body.len()].copy_from_slice(body.as_bytes());
    Ok(padded)
}

/// The body in a padded one.
pub fn read(padded: &[u8]) -> std::result::Result<Map<String, Value>, Unopened> {
    let (length, rest) = padded
        .split_first_chunk::<LENGTH>()
        .ok_or(Unopened::Body("is cut short"))?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > LARGEST - LENGTH || size(length) != padded.len() {
        return Err(Unopened::Body("has another length than it says"));
    }
    let (body, padding) = rest.split_at(length);
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Unopened::Body("is padded with something"));
    }
    let broken = || Unopened::Body("is no JSON object in canonical form");
    let body = std::str::from_utf8(body).map_err(|_| broken())?;
    let value: Value = serde_json::from_str(body).map_err(|_| broken())?;
    if canonical::text(&value) != body {
        return Err(broken());
    }
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(broken()),
    }
}

/// How long a body of `length` bytes is when it is padded.
fn size(length: usize) -> usize {
    (LENGTH + length).next_power_of_two().max(SMALLEST)
}

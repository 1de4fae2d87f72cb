//! Bytes under a secret key: a random nonce and a libsodium secretbox.

use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

const NONCE: usize = 24;

/// The nonce, then the encrypted `plain`.
pub fn lock(rng: &mut impl CryptoRngCore, key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0u8; NONCE];
    rng.fill_bytes(&mut nonce);
    let locked = XSalsa20Poly1305::new(key.into())
        .encrypt(&nonce.into(), plain)
        .expect("it is small enough");
    [&nonce[..], &locked].concat()
}

/// What [`lock`] was given; None when it was another key, or something was changed.
pub fn unlock(key: &[u8; 32], locked: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, locked) = locked.split_first_chunk::<NONCE>()?;
    XSalsa20Poly1305::new(key.into())
        .decrypt(nonce.into(), locked)
        .ok()
        .map(Zeroizing::new)
}
